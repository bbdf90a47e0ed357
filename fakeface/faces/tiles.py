"""A large picture, shown to a detector that sees only faces of moderate size.

A detector gets the whole picture first, shrunk to a fixed side: there it sees the large faces.
Where that would make a face of MIN_FACE pixels too small for it, it also gets overlapping parts of
the picture that are shrunk less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

import cv2
import numpy as np

from fakeface.faces.boxes import MIN_FACE, NOTHING, Found, suppress
from fakeface.types import RGB

SIDE: Final = 960  # longest side of what a detector is shown, in pixels
SPARE: Final = 1.25  # parts overlap by more than a face that the whole picture just fails to show
SAME: Final = 0.5  # of the smaller of two boxes is shared: it is the same face
EDGE: Final = 2.0  # pixels; a box nearer to the cut of a part may be half a face


def shrink(image: RGB, factor: float) -> RGB:
    """The picture with its sides multiplied by `factor`, which is at most 1."""
    if factor == 1.0:
        return image
    size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)


def factor_to(image: RGB, side: int) -> float:
    """What the sides are multiplied by, so that none is longer than `side`; at most 1."""
    return min(1.0, side / float(max(image.shape[:2])))


def smallest(image: RGB, sees: int) -> int:
    """The height in pixels of `image` from which on `look_everywhere` sees faces."""
    return math.ceil(sees / max(factor_to(image, SIDE), min(1.0, sees / MIN_FACE)))


def look_everywhere(image: RGB, look: Callable[[RGB], Found], sees: int) -> Found:
    """The faces of a picture of any size.

    Args:
        image: upright RGB uint8 (H, W, 3).
        look: finds the faces of a picture with no side longer than SIDE.
        sees: the height in pixels of the smallest face that `look` sees reliably.

    Returns:
        Boxes in pixels of `image`, each face once. Faces that the look at the whole picture found
        keep the boxes that it gave them.
    """
    whole, part = factor_to(image, SIDE), min(1.0, sees / MIN_FACE)
    first = look(shrink(image, whole))
    looks = [Found(first.boxes / whole, first.scores)]
    if whole < part:
        large = shrink(image, part)
        # In pixels of `large`: the largest face that the first look does not see for certain,
        # which is no larger than the picture.
        overlap = min(math.ceil(SPARE * sees / whole * part), *large.shape[:2], SIDE // 2)
        for left, top, tile in _tiles(large, overlap):
            boxes, scores = _without_cuts(look(tile), left, top, tile, large)
            looks.append(Found(boxes / part, scores))
    return _merge(looks)


def _tiles(image: RGB, overlap: int) -> Iterator[tuple[int, int, RGB]]:
    """Left, top and pixels of parts of at most SIDE x SIDE that cover the picture."""
    height, width = image.shape[:2]
    for top in _starts(height, overlap):
        for left in _starts(width, overlap):
            tile = image[top : top + SIDE, left : left + SIDE]
            yield left, top, np.ascontiguousarray(tile)


def _starts(length: int, overlap: int) -> list[int]:
    """Where parts of SIDE pixels begin, evenly spread, neighbours sharing `overlap` or more."""
    count = 1 + math.ceil(max(0, length - SIDE) / (SIDE - overlap))
    return [round(i * (length - SIDE) / (count - 1)) for i in range(count)] if count > 1 else [0]


def _without_cuts(found: Found, left: int, top: int, tile: RGB, large: RGB) -> Found:
    """In pixels of `large`, without what a cut may have halved: another part shows it whole."""
    boxes = found.boxes + (left, top, 0, 0)
    ends = boxes[:, :2] + boxes[:, 2:]
    right, bottom = left + tile.shape[1], top + tile.shape[0]
    whole = (
        ((boxes[:, 0] > left + EDGE) | (left == 0))
        & ((boxes[:, 1] > top + EDGE) | (top == 0))
        & ((ends[:, 0] < right - EDGE) | (right == large.shape[1]))
        & ((ends[:, 1] < bottom - EDGE) | (bottom == large.shape[0]))
    )
    return Found(boxes[whole], found.scores[whole])


def _merge(looks: list[Found]) -> Found:
    """All looks as one: an earlier look goes before a later one, whatever their scores."""
    if len(looks) == 1:
        return looks[0]
    first, *parts = looks
    more = Found(*(np.concatenate(column) for column in zip(NOTHING, *parts)))
    boxes = np.concatenate([first.boxes, more.boxes])
    scores = np.concatenate([first.scores, more.scores])
    # Scores are at most 1, so that 2 more put the first look before all others.
    order = np.concatenate([np.nan_to_num(first.scores) + 2, np.nan_to_num(more.scores)])
    kept = suppress(boxes, order, SAME, over="smaller")
    return Found(boxes[kept], scores[kept])
