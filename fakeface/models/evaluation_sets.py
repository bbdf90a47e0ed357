"""The sets of pictures that models are measured on, and what people call them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class SetTitle:
    """What a set of pictures is called.

    Attributes:
        short: one to three words.
        detail: what is in it.
    """

    short: str
    detail: str

    def __str__(self) -> str:
        return f"{self.short}: {self.detail}"


# In the order in which they are listed.
TITLES: Final[Mapping[str, SetTitle]] = {
    "val": SetTitle("validation", "epochs, calibration and thresholds were chosen here"),
    "calibration": SetTitle("calibration", "the part of validation for nothing else"),
    "test": SetTitle("test", "generated and edited faces"),
    "pair_140k": SetTitle("140k pair", "FFHQ against StyleGAN"),
    "swaps": SetTitle("DFDC", "face swaps against the clips they were made from"),
    "wilddeepfake": SetTitle("WildDeepfake", "its whole test split"),
    "test_unseen": SetTitle("unseen sources", "a StyleGAN2 site against stock photographs"),
    "wild_generated": SetTitle("wild", "LoRA headshots against strangers' photographs"),
    "sd3": SetTitle("Stable Diffusion 3", "against strangers' photographs"),
    "wild_swaps": SetTitle("wild swaps", "inswapper against strangers' photographs"),
}

FITTED: Final = ("val", "calibration")  # sets on which something of a model was chosen


def set_title(name: str, measured: Mapping[str, Any]) -> str:
    """What a set of pictures is called where a line begins.

    Args:
        name: of the set.
        measured: what was measured on it; it may bring a title of its own.
    """
    known = str(TITLES.get(name, ""))
    own = measured.get("title") or known[:1].upper() + known[1:]
    return str(own or name.replace("_", " ").capitalize())
