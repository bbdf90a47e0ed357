"""Boxes as arrays: which of them show the same face, and which faces are large enough to judge.

Arrays of boxes are float64 (N, 4): x and y of the top left corner, then width and height.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from fakeface.types import Box, Face

Numbers: TypeAlias = npt.NDArray[np.float64]

MIN_FACE: Final = 40  # pixels; below that a crop holds too little to judge
NARROW: Final = 0.7  # of that, for the width: faces are higher than wide


class Found(NamedTuple):
    """What a detector saw in the picture that it was shown.

    Attributes:
        boxes: float64 (N, 4), in pixels of that picture; they may reach beyond its borders.
        scores: float64 (N,) in [0, 1], or NaN where the detector has no score.
    """

    boxes: Numbers
    scores: Numbers


NOTHING: Final = Found(np.empty((0, 4)), np.empty(0))


def is_judgeable(width: int, height: int) -> bool:
    """Whether a face of that many pixels is large enough."""
    return min(width, height) >= MIN_FACE * NARROW and height >= MIN_FACE


def largest(faces: Iterable[Face]) -> Face | None:
    """The largest face that can be judged, or None."""
    able = [face for face in faces if is_judgeable(face.box.w, face.box.h)]
    return max(able, key=lambda face: face.box.w * face.box.h, default=None)


def to_faces(found: Found, width: int, height: int, sure: float = 0.0) -> tuple[Face, ...]:
    """The boxes, clipped to a picture of that size, from left to right.

    Args:
        found: in pixels of that picture.
        width, height: of the picture.
        sure: the score below which a face is doubted; see `Face.doubted`.
    """
    faces = []
    for (x, y, w, h), score in zip(found.boxes, found.scores):
        left, right = round(max(0.0, float(x))), round(min(float(width), float(x + w)))
        top, bottom = round(max(0.0, float(y))), round(min(float(height), float(y + h)))
        if right > left and bottom > top:
            confidence = None if np.isnan(score) else float(score)
            box = Box(left, top, right - left, bottom - top)
            faces.append(Face(box, confidence, doubted=bool(score < sure)))
    return tuple(sorted(faces, key=lambda f: (f.box.x, f.box.y)))


def suppress(
    boxes: Numbers,
    scores: Numbers,
    most: float,
    *,
    over: Literal["union", "smaller"] = "union",
) -> list[int]:
    """Non-maximum suppression: of boxes that overlap, only the one with the highest score stays.

    Args:
        boxes: float64 (N, 4).
        scores: float64 (N,).
        most: the largest overlap at which two boxes both stay, in [0, 1].
        over: what the area that two boxes share is divided by: that of their union, or that of
            the smaller one, which also finds a box inside another.

    Returns:
        Which boxes stay, by falling score.
    """
    kept: list[int] = []
    left = np.argsort(-scores, kind="stable")
    while left.size:
        best, left = int(left[0]), left[1:]
        kept.append(best)
        left = left[_overlap(boxes[best], boxes[left], over) <= most]
    return kept


def _overlap(box: Numbers, others: Numbers, over: str) -> Numbers:
    """How much one box overlaps each of (N, 4); float64 (N,)."""
    ends = np.minimum(box[:2] + box[2:], others[:, :2] + others[:, 2:])
    shared = np.maximum(ends - np.maximum(box[:2], others[:, :2]), 0).prod(1)
    area, areas = box[2:].prod(), others[:, 2:].prod(1)
    whole = np.minimum(area, areas) if over == "smaller" else area + areas - shared
    return np.asarray(shared / np.maximum(whole, 1e-9))
