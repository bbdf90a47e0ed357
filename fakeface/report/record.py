"""Analysis -> the JSON object of the contract."""

from __future__ import annotations

import numpy as np

from fakeface import __version__
from fakeface.contract import (
    AnalysisResult,
    CrowdResult,
    FaceResult,
    FindingResult,
    HeatmapResult,
    QualityResult,
    ScoreResult,
    VariantResult,
)
from fakeface.report.pictures import FACE_SIDE, data_url
from fakeface.report.text import NOTE
from fakeface.types import (
    Analysis,
    Crowd,
    FaceReport,
    Finding,
    Heatmap,
    Quality,
    Score,
    Status,
    Variant,
)


def to_dict(analysis: Analysis) -> AnalysisResult:
    """The JSON object of one file, a contract that other tools rely on; see docs/schema.json.

    Returns:
        Plain values only. `verdict` and `p_fake` are those of the picture by the first of
        `models`, and None without a face; of several faces, `verdict` is that of the most
        suspicious one and `p_fake` that of `crowds`, by model, which does not grow with their
        number. `faces_found` counts those `too_small` to be judged too, which have a box each;
        `smallest` is the height from which on the detector sees faces. `faces` go from left to
        right, each with its `box` [x, y, w, h] in pixels of the upright picture, its `quality`,
        the `consensus` of the models and, by model, the fields of a `Score`; `heatmap` is None
        where none was asked for, and never holds its values. `sha256` is None where the file could
        not be opened; width, height, detector and smallest are None, and `error` is a sentence,
        where `status` is unreadable.
        `frames_looked_at` counts from 0, and boxes are those of the last of them; `notes` are
        sentences on what could not be read beside the pixels, and on their colours.
        Twice the same bytes give twice the same but for `date` and `seconds`.
    """
    readable = analysis.status is not Status.UNREADABLE
    return {
        "file": analysis.file,
        "sha256": analysis.sha256 or None,
        "status": analysis.status.value,
        "error": analysis.error,
        "verdict": analysis.verdict.value if analysis.verdict else None,
        "p_fake": analysis.p_fake,
        "width": analysis.width if readable else None,
        "height": analysis.height if readable else None,
        "detector": analysis.detector if readable else None,
        "models": list(analysis.models),
        "judges": {
            j.model: {
                "sha256": j.sha256 or None,
                "real_below": j.real_below,
                "fake_above": j.fake_above,
            }
            for j in analysis.judges
        },
        "faces": [_face(report) for report in analysis.faces],
        "faces_found": len(analysis.faces) + len(analysis.too_small),
        "too_small": [face.box.as_list() for face in analysis.too_small],
        "smallest": analysis.smallest or None,
        "crowds": {crowd.model: _crowd(crowd) for crowd in analysis.crowds},
        "provenance": [_finding(finding) for finding in analysis.provenance],
        "frames": analysis.frames if readable else None,
        "frames_looked_at": list(analysis.frames_looked_at) if readable else [],
        "notes": list(analysis.notes),
        "date": analysis.date or None,
        "version": __version__,
        "note": NOTE,
    }


def to_record(analysis: Analysis) -> AnalysisResult:
    """A report as JSON: `to_dict`, and each heatmap as a greyscale PNG in a data URL."""
    record = to_dict(analysis)
    for face, found in zip(record["faces"], analysis.faces):
        for heatmap in found.heatmaps:
            result = face["models"][heatmap.model]["heatmap"]
            if result is not None:
                grey = np.rint(np.clip(heatmap.values, 0, 1) * 255).astype(np.uint8)
                result["png"] = data_url(grey, FACE_SIDE, kind="png")
    return record


def _face(report: FaceReport) -> FaceResult:
    heatmaps = {heatmap.model: heatmap for heatmap in report.heatmaps}
    consensus = report.consensus
    return {
        "box": report.face.box.as_list(),
        "models": {s.model: _score(s, heatmaps.get(s.model)) for s in report.scores},
        "quality": _quality(report.quality) if report.quality else None,
        "consensus": {
            "verdict": consensus.verdict.value,
            "agreeing": consensus.agreeing,
            "of": consensus.of,
            "rule": consensus.rule,
        },
    }


def _score(score: Score, heatmap: Heatmap | None) -> ScoreResult:
    return {
        "p_fake": score.p_fake,
        "verdict": score.verdict.value,
        "alone": score.alone.value if score.alone else None,
        "stable": score.stable,
        "variants": [_variant(variant) for variant in score.variants],
        "seconds": score.seconds,
        "heatmap": _heatmap(heatmap) if heatmap else None,
        "by_chance": score.by_chance,
    }


def _crowd(crowd: Crowd) -> CrowdResult:
    return {
        "faces": crowd.faces,
        "generated": crowd.generated,
        "expected": crowd.expected,
        "p_fake": crowd.p_fake,
    }


def _variant(variant: Variant) -> VariantResult:
    return {"name": variant.name, "p_fake": variant.p_fake, "verdict": variant.verdict.value}


def _heatmap(heatmap: Heatmap) -> HeatmapResult:
    return {
        "region": heatmap.region.as_list(),
        "faithfulness": heatmap.faithfulness,
        "random": heatmap.random,
    }


def _quality(quality: Quality) -> QualityResult:
    return {
        "face_side": quality.face_side,
        "sharpness": quality.sharpness,
        "jpeg_quality": quality.jpeg_quality,
        "familiarity": quality.familiarity,
        "warnings": list(quality.warnings),
    }


def _finding(finding: Finding) -> FindingResult:
    return {
        "kind": finding.kind,
        "title": finding.title,
        "detail": finding.detail,
        "says": finding.says,
        "trust": finding.trust,
        "checked": finding.checked,
        "scope": finding.scope,
    }
