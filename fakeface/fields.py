"""Types of JSON fields with their ranges, which pydantic checks."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

# Nothing is converted: a number written as text is an error.
STRICT: Final = ConfigDict(strict=True)
CLOSED: Final = ConfigDict(strict=True, extra="forbid")
OPEN: Final = ConfigDict(strict=True, extra="allow")

VerdictName = Literal["AI-generated", "real", "unsure"]
Probability = Annotated[float, Field(ge=0, le=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Signed = Annotated[float, Field(ge=-1, le=1)]
Count = Annotated[int, Field(ge=0)]
Pixels = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=32, le=1024)]  # pixels, of a network's input
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
