"""Analysis -> the JSON of the contract, text for people, and the picture with its faces marked."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from safetensors import SafetensorError, safe_open

from fakeface import __version__
from fakeface.types import (
    RGB,
    Analysis,
    Box,
    Consensus,
    FaceReport,
    Finding,
    Heatmap,
    Score,
    Status,
    Variant,
    Verdict,
)

if TYPE_CHECKING:
    from fakeface.models.checkpoints import Card

NOTE = (
    "A score is evidence, not proof: models err, above all on generators and edits they have "
    "never seen, so do not accuse anybody on a score alone."
)

# Okabe and Ito's colours, which people with any colour vision tell apart; black text reads on all.
_COLOURS = {
    Verdict.FAKE: (230, 110, 20),
    Verdict.REAL: (86, 180, 233),
    Verdict.UNSURE: (240, 228, 66),
}
_SHORT = {Verdict.FAKE: "AI", Verdict.REAL: "real", Verdict.UNSURE: "?"}
_BLACK = (0, 0, 0)
_STATISTICS = ("running_mean", "running_var")  # of batch normalisation: buffers, not parameters
_LEAST_TEXT = 11  # pixels; smaller letters are hard to read


def to_dict(analysis: Analysis) -> dict[str, Any]:
    """The JSON object of one file, a contract that other tools rely on.

    Returns:
        Plain values only. `verdict` and `p_fake` are those of the most suspicious face by the
        first of `models`, and None without a face. `faces` go from left to right, each with its
        `box` [x, y, w, h] in pixels of the upright picture, its `quality`, the `consensus` of the
        models and, by model, the fields of a `Score`; `heatmap` is None where none was asked for,
        and never holds its values. `sha256` is None where the file could not be opened; width,
        height and detector are None, and `error` is a sentence, where `status` is unreadable.
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
        "provenance": [dataclasses.asdict(finding) for finding in analysis.provenance],
        "date": analysis.date or None,
        "version": __version__,
        "note": NOTE,
    }


def _face(report: FaceReport) -> dict[str, Any]:
    heatmaps = {heatmap.model: heatmap for heatmap in report.heatmaps}
    return {
        "box": report.face.box.as_list(),
        "models": {s.model: _answer(s, heatmaps.get(s.model)) for s in report.scores},
        "quality": report.quality
        and dataclasses.asdict(report.quality) | {"warnings": list(report.quality.warnings)},
        "consensus": _plain(report.consensus),
    }


def _answer(score: Score, heatmap: Heatmap | None) -> dict[str, Any]:
    return {
        "p_fake": score.p_fake,
        "verdict": score.verdict.value,
        "alone": score.alone.value if score.alone else None,
        "stable": score.stable,
        "variants": [_plain(variant) for variant in score.variants],
        "seconds": score.seconds,
        "heatmap": heatmap
        and {
            "region": heatmap.region.as_list(),
            "faithfulness": heatmap.faithfulness,
            "random": heatmap.random,
        },
    }


def _plain(record: Variant | Consensus) -> dict[str, Any]:
    return dataclasses.asdict(record) | {"verdict": record.verdict.value}


def to_text(analysis: Analysis) -> str:
    """A few lines for people; `NOTE` is left to whoever prints the last of them."""
    name = shown(analysis.file)
    if analysis.status is Status.UNREADABLE:
        return f"{name}: unreadable. {shown(analysis.error or '')}".rstrip()
    count = len(analysis.faces)
    lines = [f"{name}: {count} face{'s' if count > 1 else ''}"]
    if analysis.status is Status.NO_FACE:
        lines = [f"{name}: no face found, so there is nothing to judge."]
    widest = max((len(model) for model in analysis.models), default=0)
    for number, report in enumerate(analysis.faces, 1):
        box = report.face.box
        lines.append(f"  face {number}, {box.w} x {box.h} pixels at x {box.x}, y {box.y}")
        for s in report.scores:
            p = percent(s.p_fake)
            lines.append(f"    {s.model:{widest}}  {p:>5} likely AI-generated: {s.verdict.value}")
            lines += [f"    {'':{widest}}  {line}" for line in _remarks(report, s)]
        if len(report.scores) > 1:
            lines.append(f"    {together(report.consensus)}")
        lines += [
            f"    {warning}" for warning in (report.quality.warnings if report.quality else ())
        ]
    lines += [
        f"  in the file: {shown(finding.title)} ({_standing(finding)}): {shown(finding.detail)}"
        for finding in analysis.provenance
    ]
    return "\n".join(lines)


def _standing(finding: Finding) -> str:
    """How far a finding can be trusted, in a word or two."""
    return "not checked" if finding.checked == "not_checked" else finding.trust


def unstable(score: Score) -> str:
    """The sentence on a verdict that flipped; empty where it did not."""
    if score.stable or not score.alone:
        return ""
    flips = [v.name for v in score.variants if v.verdict not in (score.alone, Verdict.UNSURE)]
    return (
        f"The picture as it came reads as {score.alone.value}, but a copy of it "
        f"({'; '.join(flips)}) reads as the opposite, so the verdict is unsure."
    )


def faithful(heatmap: Heatmap) -> str:
    """The sentence on how far a heatmap can be trusted; empty where that was not measured."""
    if heatmap.faithfulness is None or heatmap.random is None:
        return ""
    return (
        f"How well the heatmap marks what decides (ROAD): {heatmap.faithfulness:+.2f}, against "
        f"{heatmap.random:+.2f} for a random map; higher is better."
    )


def together(consensus: Consensus) -> str:
    """The sentence on what several models say together."""
    return (
        f"All models together: {consensus.verdict.value} ({consensus.agreeing} of {consensus.of}). "
        f"{consensus.rule}"
    )


def _remarks(report: FaceReport, score: Score) -> list[str]:
    own = [faithful(heatmap) for heatmap in report.heatmaps if heatmap.model == score.model]
    return [line for line in (unstable(score), *own) if line]


def describe(card: Card, folder: Path) -> dict[str, Any]:
    """What there is to know about one installed model without loading it.

    Returns:
        Plain values. `parameters` and `bytes` are None where the weights are missing or damaged,
        and `auc`, the area under the ROC curve on the test set, is None where the card has none.
    """
    weights = folder / "model.safetensors"
    parameters = size = None
    try:
        size = weights.stat().st_size
        with safe_open(weights, framework="numpy") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.offset_keys()}
        parameters = sum(
            math.prod(shape) for name, shape in shapes.items() if not name.endswith(_STATISTICS)
        )
    except (OSError, SafetensorError):
        pass
    return {
        "name": card.name,
        "title": card.title,
        "backbone": card.backbone,
        "input_size": card.preprocessing.size,
        "parameters": parameters,
        "bytes": size,
        "auc": card.auc("test"),
        "sha256": card.sha256,
    }


def percent(p: float) -> str:
    """A probability for people, who should not be told 0 or 100 %."""
    if p < 0.01:
        return "<1 %"
    return ">99 %" if p > 0.99 else f"{p:.0%}".replace("%", " %")


def shown(name: str) -> str:
    """Text for a terminal: control characters and undecodable bytes in file names are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


def overlay(
    image: RGB, analysis: Analysis, *, model: str | None = None, opacity: float = 0.5
) -> RGB:
    """The picture with each face's heatmap, and its number and verdict in a box.

    Args:
        image: the picture that was analysed, upright RGB uint8 (H, W, 3); it is not changed.
        analysis: what was found in it; heatmaps are drawn where it has them.
        model: whose heatmaps and verdicts; None for the first.
        opacity: of the hottest places, in [0, 1]; cold ones show the photo.

    Returns:
        A new picture of the same size.

    Raises:
        ValueError: `model` is none of the analysis.
    """
    out: RGB = image.copy(order="C")
    if not analysis.faces:
        return out
    model = model or analysis.models[0]
    if model not in analysis.models:
        raise ValueError(f"{model!r} is none of the models of this analysis: {analysis.models}")
    for report in analysis.faces:
        for heatmap in report.heatmaps:
            if heatmap.model == model:
                _tint(out, heatmap, opacity)
    scores = [_score(report, model) for report in analysis.faces]
    line = max(2, round(max(image.shape[:2]) / 250))
    for report, score in zip(analysis.faces, scores):
        box = report.face.box
        corners = (box.x, box.y), (box.x + box.w - 1, box.y + box.h - 1)
        for colour, width in ((_BLACK, line + 2), (_COLOURS[score.verdict], line)):
            cv2.rectangle(out, *corners, colour, width)
    taken: list[Box] = []  # labels come last, so that no box crosses them
    for number, (report, score) in enumerate(zip(analysis.faces, scores), 1):
        label = _label(number, score.verdict, out.shape[1], out.shape[0])
        spot = _place(label, report.face.box, out.shape[1], out.shape[0], taken)
        out[spot.y : spot.y + spot.h, spot.x : spot.x + spot.w] = label[: spot.h, : spot.w]
        taken.append(spot)
    return out


def _score(report: FaceReport, model: str) -> Score:
    return next(score for score in report.scores if score.model == model)


def _tint(out: RGB, heatmap: Heatmap, opacity: float) -> None:
    """Colour one region in place, each pixel as strongly as its value."""
    box = heatmap.region
    part = out[box.y : box.y + box.h, box.x : box.x + box.w]
    values = cv2.resize(heatmap.values, (box.w, box.h), interpolation=cv2.INTER_LINEAR)
    values = np.clip(values, 0, 1)
    # Viridis: it brightens steadily, and its greens and blues stand out from skin of any tone.
    colours = cv2.applyColorMap(np.rint(values * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    weights = (values * opacity).astype(np.float32)
    part[:] = cv2.blendLinear(cv2.cvtColor(colours, cv2.COLOR_BGR2RGB), part, weights, 1 - weights)


def _label(number: int, verdict: Verdict, width: int, height: int) -> RGB:
    """Number and verdict as a small picture, in letters that suit a picture of that size."""
    wanted = max(_LEAST_TEXT, round(max(width, height) / 32))
    for word in (verdict.value, _SHORT[verdict]):
        text = f"{number} {word}"
        # Wide letters in a narrow picture: first smaller letters, then a shorter word.
        size = min(wanted, int(wanted * width / _font_box(text, wanted)[2]))
        if size >= _LEAST_TEXT:
            break
    size = max(size, _LEAST_TEXT)
    _, top, right, bottom = _font_box(text, size)
    pad = max(1, size // 5)
    picture = Image.new("RGB", (right + pad, bottom - top + 2 * pad), _COLOURS[verdict])
    ImageDraw.Draw(picture).text((pad, pad - top), text, _BLACK, ImageFont.load_default(size))
    return np.asarray(picture)


def _font_box(text: str, size: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of some text with the padding beside it, in whole pixels."""
    left, top, right, bottom = ImageFont.load_default(size).getbbox(text)
    return int(left), int(top), int(np.ceil(right)) + max(1, size // 5), int(np.ceil(bottom))


def _place(label: RGB, box: Box, width: int, height: int, taken: list[Box]) -> Box:
    """Where a label goes: above its face, below it or inside, wherever it hides no other label."""
    h, w = min(label.shape[0], height), min(label.shape[1], width)
    lefts = (box.x, box.x + box.w - w)
    tops = (box.y - h, box.y + box.h, box.y, box.y + box.h - h)
    spots = [
        Box(min(max(0, x), width - w), y, w, h) for x in lefts for y in tops if 0 <= y <= height - h
    ]
    free = [spot for spot in spots if not any(_overlap(spot, other) for other in taken)]
    return (free or spots or [Box(0, 0, w, h)])[0]


def _overlap(a: Box, b: Box) -> bool:
    return a.x < b.x + b.w and b.x < a.x + a.w and a.y < b.y + b.h and b.y < a.y + a.h
