"""The JSON that programs get, as types: of the command line, the page's API and the report.

`report.to_dict` makes it. Plain dictionaries at run time; the types are for whoever reads them.
"""

from __future__ import annotations

from typing import Any, TypedDict


class VariantResult(TypedDict):
    """See `types.Variant`."""

    name: str
    p_fake: float
    verdict: str


class HeatmapResult(TypedDict):
    """See `types.Heatmap`; the picture itself, `png`, is there in reports only."""

    region: list[int]
    faithfulness: float | None
    random: float | None


class ScoreResult(TypedDict):
    """See `types.Score`."""

    p_fake: float
    verdict: str
    alone: str | None
    stable: bool
    variants: list[VariantResult]
    seconds: float
    heatmap: HeatmapResult | None


class QualityResult(TypedDict):
    """See `types.Quality`."""

    face_side: int
    sharpness: float
    jpeg_quality: int | None
    familiarity: float | None
    warnings: list[str]


class ConsensusResult(TypedDict):
    """See `types.Consensus`."""

    verdict: str
    agreeing: int
    of: int
    rule: str


class FaceResult(TypedDict):
    """One face: `box` is [x, y, w, h] in pixels of the upright picture, `models` by name."""

    box: list[int]
    models: dict[str, ScoreResult]
    quality: QualityResult | None
    consensus: ConsensusResult


class FindingResult(TypedDict):
    """See `types.Finding`."""

    kind: str
    title: str
    detail: str
    says: str
    trust: str
    checked: str | None
    scope: str | None


class JudgeResult(TypedDict):
    """See `types.Judge`."""

    sha256: str | None
    real_below: float
    fake_above: float


class AnalysisResult(TypedDict):
    """See `types.Analysis` and `report.to_dict`."""

    file: str
    sha256: str | None
    status: str
    error: str | None
    verdict: str | None
    p_fake: float | None
    width: int | None
    height: int | None
    detector: str | None
    models: list[str]
    judges: dict[str, JudgeResult]
    faces: list[FaceResult]
    provenance: list[FindingResult]
    note: str
    version: str
    date: str | None


class ModelResult(TypedDict):
    """See `report.describe`."""

    name: str
    title: str
    backbone: str
    input_size: int
    parameters: int | None
    bytes: int | None
    auc: dict[str, float] | None
    sha256: str


class ReportResult(TypedDict):
    """A report: `json` is an AnalysisResult with a `png` in each heatmap."""

    html: str
    json: dict[str, Any]
