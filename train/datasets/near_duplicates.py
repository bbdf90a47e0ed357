"""Pictures that look the same though their bytes differ: another size, another compression, a crop.

Two pictures are held against each other as grey miniatures, whole and by their face, since a copy
may be cut differently. Equal bytes are found by their sha256 already (`records.check_groups`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from fakeface.images import decoder as images
from fakeface.models.preprocess import face_region
from fakeface.progress import progress
from fakeface.types import RGB, FloatArray
from train.datasets.faces import Faces
from train.datasets.records import Record

SIDE = 32  # of a miniature, in pixels
WHOLE, FACE = 0.955, 0.94  # correlation from which two pictures count as the same
MARGIN = 0.15  # around a face, as a share of its box
_BLOCK = 1024  # rows compared at a time


class Pair(NamedTuple):
    """Two records that look the same and stand in different splits.

    Attributes:
        first, second: the records.
        correlation: of their miniatures, in [-1, 1].
        by: "whole picture" or "face".
    """

    first: Record
    second: Record
    correlation: float
    by: str


def find_near_duplicates(records: Sequence[Record], faces: Faces) -> list[Pair]:
    """All pairs across splits that look the same, whole or by their faces.

    Args:
        records: of all splits; each picture is read once.
        faces: the largest face of each; one without a face is compared whole alone.
    """
    whole = np.zeros((len(records), SIDE * SIDE), np.float32)
    by_face = np.zeros_like(whole)  # of zeros where there is no face: it correlates with nothing
    for i, record in enumerate(progress(records, desc="miniatures")):
        image = images.decode(record.read())
        whole[i] = shrink(image)
        if record.sha256 in faces:
            height, width = image.shape[:2]
            at = face_region(faces[record.sha256], width, height, MARGIN)
            by_face[i] = shrink(image[at.y : at.y + at.h, at.x : at.x + at.w])
    splits = np.array([record.split for record in records])
    return [
        Pair(records[i], records[j], correlation, by)
        for miniatures, threshold, by in ((whole, WHOLE, "whole picture"), (by_face, FACE, "face"))
        for i, j, correlation in find_correlated(miniatures, splits, threshold)
    ]


def shrink(image: RGB) -> FloatArray:
    """A picture (H, W, 3) as a grey miniature (1024,) of mean 0 and length 1; 0 if it is flat."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    centred = small.ravel() - small.mean()
    length = float(np.linalg.norm(centred))
    flat = length < SIDE  # less than one grey level of spread: noise alone
    return np.zeros_like(centred) if flat else (centred / length).astype(np.float32)


def find_correlated(
    miniatures: FloatArray, splits: np.ndarray[tuple[int], np.dtype[np.str_]], threshold: float
) -> Iterator[tuple[int, int, float]]:
    """Rows i < j of different splits whose correlation is above the threshold.

    Args:
        miniatures: (N, D), rows of length 1 or 0.
        splits: (N,).
        threshold: in [-1, 1].
    """
    for start in range(0, len(miniatures), _BLOCK):
        block = slice(start, start + _BLOCK)
        found = miniatures[block] @ miniatures[start:].T
        apart = splits[block, None] != splits[None, start:]
        for i, j in zip(*np.nonzero((found > threshold) & apart)):
            if i < j:
                yield start + int(i), start + int(j), float(found[i, j])
