"""Does a verdict survive what happens to pictures on their way through the web?

Networks and messengers shrink pictures and save them again. A verdict that such a copy turns to
the other side is worth nothing, so each face is scored in three copies as well, but in none that
leaves it smaller than a face must be to be judged at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.special import logit as logit_of

from fakeface.models.card import Card
from fakeface.models.preprocess import face_region
from fakeface.types import RGB, Box, Variant, Verdict

# In calibrated log-odds, where a card says nothing: of the light model's scores of 1,658 test faces
# in three copies each, the farthest moved by 5.95.
_FARTHEST = (6.0, 6.0)
BLOCK = 16  # pixels; a JPEG with halved chroma is coded in squares of this side


@dataclass(frozen=True, slots=True)
class Copy:
    """One way in which a picture is saved again.

    Attributes:
        name: for people.
        quality: of the JPEG, 1 to 100.
        at_most: what the longest side is shrunk to, in pixels, where it is longer.
        factor: what the sides are multiplied by before that.
    """

    name: str
    quality: int
    at_most: int
    factor: float = 1.0


# The first two leave small pictures their size, so the third takes detail from those too. Of 1,000
# faces of val, in pictures of at most 512 px, they flip the light model's verdict on 0, 1 and 3;
# JPEG quality 75 at the same size flips none. To enlarge the third again would add nothing, for it
# is resized once more on its way into the network.
COPIES = (
    Copy("JPEG quality 60, at most 768 px", 60, 768),
    Copy("JPEG quality 40, at most 512 px", 40, 512),
    Copy("JPEG quality 75, half the size, at most 4096 px", 75, 4096, factor=0.5),
)


def variants(
    image: RGB, boxes: Sequence[Box], margin: float, copies: Iterable[Copy] = COPIES
) -> Iterator[tuple[RGB, list[Box]]]:
    """A picture as it looks in each of the copies, and where its faces then are.

    Only the faces and what models see around them are encoded. JPEG codes squares of 16 pixels one
    by one and smooths colours into the next square at most, so those pixels are bit for bit what
    they are in a copy of the whole picture. The shrinking is not cut down likewise: its filter
    would sit at other fractions of a pixel.

    Args:
        image: upright RGB uint8 (H, W, 3); it is not changed.
        boxes: at least one face in it.
        margin: the widest `Preprocessing.margin` of the models.
        copies: what is done to it.

    Yields:
        A picture that is re-encoded around the faces, and the boxes in its own pixels.
    """
    height, width = image.shape[:2]
    for copy in copies:
        factor = min(copy.factor, copy.at_most / max(height, width))
        small = scale(image, factor)
        if small is image:
            small = image.copy()
        moved = [_scale_box(box, small.shape[1] / width, small.shape[0] / height) for box in boxes]
        window = _window(moved, small.shape[1], small.shape[0], margin)
        small[window] = reencode(small[window], copy.quality)
        yield small, moved


def may_turn(card: Card, copy: Copy, logit: float) -> bool:
    """Whether a copy may turn the verdict of a face to the other side.

    Args:
        card: of the model; its `shortcuts` say how far copies moved scores, where that was
            measured.
        copy: one of `COPIES`.
        logit: of the face in the picture as it came, before calibration.
    """
    calibration = card.calibration
    score = calibration.calibrate(logit)
    verdict = calibration.verdict(calibration.probability(logit))
    real_from, fake_up_to = turning_points(card, copy)
    if verdict is Verdict.FAKE:
        return score <= fake_up_to
    return verdict is Verdict.REAL and score >= real_from  # of unsure there is no other side


def turning_points(card: Card, copy: Copy) -> tuple[float, float]:
    """The calibrated logits from which on "real" may turn, and up to which "AI-generated" may."""
    down, up = card.shortcuts.moves.get(copy.name, _FARTHEST)
    limits = card.calibration
    return _log_odds(limits.fake_above) - up, _log_odds(limits.real_below) + down


def _log_odds(p: float) -> float:
    return float(logit_of(min(max(p, 1e-9), 1 - 1e-9)))


def settle(alone: Verdict, seen: Iterable[Variant]) -> Verdict:
    """The final verdict: unsure where any variant is on the other side, else as it was.

    A variant that is merely unsure changes nothing, since a copy holds less to go by.
    """
    other = {Verdict.FAKE: Verdict.REAL, Verdict.REAL: Verdict.FAKE}.get(alone)
    return Verdict.UNSURE if other in {variant.verdict for variant in seen} else alone


def reencode(image: RGB, quality: int) -> RGB:
    """The picture after a JPEG of this quality (1 to 100, chroma halved) was made of it."""
    _, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    bgr: RGB = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(bgr[:, :, ::-1])


def shrink_to(image: RGB, side: int) -> RGB:
    """The picture with no side longer than `side` pixels."""
    return scale(image, min(1.0, side / max(image.shape[:2])))


def scale(image: RGB, factor: float) -> RGB:
    """The picture with its sides multiplied by `factor`; itself where that is 1."""
    if factor == 1.0:
        return image
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, size, interpolation=kind).astype(np.uint8, copy=False)


def _scale_box(box: Box, across: float, down: float) -> Box:
    x, y = round(box.x * across), round(box.y * down)
    right, bottom = round((box.x + box.w) * across), round((box.y + box.h) * down)
    return Box(x, y, max(1, right - x), max(1, bottom - y))


def _window(boxes: Sequence[Box], width: int, height: int, margin: float) -> tuple[slice, slice]:
    """Rows and columns of whole JPEG squares around all that a model sees, and one square more."""
    regions = [face_region(box, width, height, margin) for box in boxes]
    # No need to look at smaller margins: their squares lie within, at a border too.
    left, top = min(r.x for r in regions), min(r.y for r in regions)
    right, bottom = max(r.x + r.w for r in regions), max(r.y + r.h for r in regions)
    return (
        slice(max(0, top // BLOCK - 1) * BLOCK, (-(-bottom // BLOCK) + 1) * BLOCK),
        slice(max(0, left // BLOCK - 1) * BLOCK, (-(-right // BLOCK) + 1) * BLOCK),
    )
