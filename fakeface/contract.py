"""The JSON that programs get, as types: of the command line, the page's API and the report.

`record.to_dict` makes plain dictionaries of these types. `python -m fakeface schema` prints their
JSON Schema, which is published as docs/schema.json. A later release may add fields.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, TypeAdapter, with_config
from typing_extensions import TypedDict  # pydantic does not take that of typing before Python 3.12

from fakeface.fields import (
    STRICT,
    Count,
    NotNegative,
    Pixels,
    Probability,
    Sha256,
    Signed,
    VerdictName,
)

BoxList = Annotated[list[int], Field(min_length=4, max_length=4, description="x, y, w, h")]


@with_config(STRICT)
class VariantResult(TypedDict):
    """See `types.Variant`."""

    name: str
    p_fake: Probability
    verdict: VerdictName


@with_config(STRICT)
class HeatmapResult(TypedDict):
    """See `types.Heatmap`; the picture itself, `png`, is there in reports only, as a data URL."""

    region: BoxList
    faithfulness: Signed | None
    random: Signed | None
    png: NotRequired[Annotated[str, Field(pattern="^data:image/png;base64,")]]


@with_config(STRICT)
class ScoreResult(TypedDict):
    """See `types.Score`."""

    p_fake: Probability
    verdict: VerdictName
    alone: VerdictName | None
    stable: bool
    variants: list[VariantResult]
    seconds: NotNegative
    heatmap: HeatmapResult | None
    by_chance: bool


@with_config(STRICT)
class QualityResult(TypedDict):
    """See `types.Quality`."""

    face_side: Pixels
    sharpness: NotNegative
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] | None
    familiarity: Probability | None
    warnings: list[str]


@with_config(STRICT)
class ConsensusResult(TypedDict):
    """See `types.Consensus`."""

    verdict: VerdictName
    agreeing: Count
    of: Annotated[int, Field(ge=1)]
    rule: str


@with_config(STRICT)
class FaceResult(TypedDict):
    """One face: `box` is [x, y, w, h] in pixels of the upright picture, `models` by name."""

    box: BoxList
    models: dict[str, ScoreResult]
    quality: QualityResult | None
    consensus: ConsensusResult


@with_config(STRICT)
class FindingResult(TypedDict):
    """See `types.Finding`."""

    kind: str
    title: str
    detail: str
    says: Literal["ai", "camera", "edited", "unknown"]
    trust: Literal["trusted", "valid", "invalid", "unsigned"]
    checked: Literal["holds", "does_not_hold", "not_checked"] | None
    scope: Literal["whole", "part"] | None


@with_config(STRICT)
class JudgeResult(TypedDict):
    """See `types.Judge`."""

    sha256: Sha256 | None
    real_below: Probability
    fake_above: Probability


@with_config(STRICT)
class CrowdResult(TypedDict):
    """See `types.Crowd`."""

    faces: Annotated[int, Field(ge=2)]
    generated: Count
    expected: NotNegative
    p_fake: Probability


@with_config(STRICT)
class AnalysisResult(TypedDict):
    """One file; see `types.Analysis` and `record.to_dict`."""

    file: str
    sha256: Sha256 | None
    status: Literal["ok", "no_face", "unreadable"]
    error: str | None
    verdict: VerdictName | None
    p_fake: Probability | None
    width: Pixels | None
    height: Pixels | None
    detector: str | None
    models: list[str]
    judges: dict[str, JudgeResult]
    faces: list[FaceResult]
    faces_found: Count
    too_small: list[BoxList]
    smallest: Pixels | None
    crowds: dict[str, CrowdResult]
    provenance: list[FindingResult]
    frames: Annotated[int, Field(ge=1)] | None
    frames_looked_at: list[Count]
    notes: list[str]
    note: str
    version: str
    date: str | None


@with_config(STRICT)
class AucResult(TypedDict):
    """An area under the ROC curve, with its 95 % interval where that was measured."""

    value: Probability
    low: NotRequired[Probability]
    high: NotRequired[Probability]


@with_config(STRICT)
class ModelResult(TypedDict):
    """One installed model; see `zoo.describe`."""

    name: str
    title: str
    backbone: str
    input_size: Pixels
    parameters: Count | None
    bytes: Count | None
    auc: AucResult | None
    sha256: str


class ReportResult(TypedDict):
    """A report: the text of the page, and an analysis with a `png` in each heatmap."""

    html: str
    json: AnalysisResult


ANALYSIS: TypeAdapter[AnalysisResult] = TypeAdapter(AnalysisResult)


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what `python -m fakeface analyse --json` prints."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fakeface analyse --json",
        **ANALYSIS.json_schema(),
    }
