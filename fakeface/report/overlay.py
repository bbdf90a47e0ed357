"""The picture with its faces marked."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fakeface.images.decoder import go_to_frame
from fakeface.types import RGB, Analysis, Box, FaceReport, Heatmap, Picture, Score, Verdict

# Okabe and Ito's colours, which people with any colour vision tell apart; black text reads on all.
_COLOURS = {
    Verdict.FAKE: (230, 110, 20),
    Verdict.REAL: (86, 180, 233),
    Verdict.UNSURE: (240, 228, 66),
}
_SHORT = {Verdict.FAKE: "AI", Verdict.REAL: "real", Verdict.UNSURE: "?"}
_BLACK = (0, 0, 0)
_TOO_SMALL = (200, 200, 200)  # a thin line around faces that were not judged
_LEAST_TEXT = 11  # pixels; smaller letters are hard to read


def overlay(
    picture: Picture | RGB,
    analysis: Analysis,
    *,
    model: str | None = None,
    opacity: float = 0.5,
) -> RGB:
    """The picture with each face's heatmap, and its number and verdict in a box.

    Faces that were too small to be judged get a thin grey box without a number.

    Args:
        picture: that was analysed, or its pixels, upright RGB uint8 (H, W, 3); it is not changed.
        analysis: what was found in it; heatmaps are drawn where it has them.
        model: whose heatmaps and verdicts; None for the first.
        opacity: of the hottest places, in [0, 1]; cold ones show the photo.

    Returns:
        A new picture of the same size.

    Raises:
        ValueError: `model` is none of the analysis.
    """
    if isinstance(picture, Picture):
        picture = go_to_frame(picture, analysis.frame).rgb
    out: RGB = picture.copy(order="C")
    for face in analysis.too_small:
        for colour, width in ((_BLACK, 2), (_TOO_SMALL, 1)):
            cv2.rectangle(out, *_corners(face.box), colour, width)
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
    line = max(2, round(max(out.shape[:2]) / 250))
    for report, score in zip(analysis.faces, scores):
        for colour, width in ((_BLACK, line + 2), (_COLOURS[score.verdict], line)):
            cv2.rectangle(out, *_corners(report.face.box), colour, width)
    taken: list[Box] = []  # labels come last, so that no box crosses them
    for number, (report, score) in enumerate(zip(analysis.faces, scores), 1):
        label = _label(number, score.verdict, out.shape[1], out.shape[0])
        spot = _place(label, report.face.box, out.shape[1], out.shape[0], taken)
        out[spot.y : spot.y + spot.h, spot.x : spot.x + spot.w] = label[: spot.h, : spot.w]
        taken.append(spot)
    return out


def _corners(box: Box) -> tuple[tuple[int, int], tuple[int, int]]:
    """The pixels at the top left and at the bottom right of a box."""
    return (box.x, box.y), (box.x + box.w - 1, box.y + box.h - 1)


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
