"""Photographs of other people whose face fits onto a given one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import numpy as np

from fakeface.files import write_atomically
from fakeface.images import decoder as images
from fakeface.models.preprocess import face_region
from fakeface.progress import progress
from fakeface.types import RGB, Box, FloatArray
from train.datasets.records import Record

Landmarks = dict[str, FloatArray]  # sha256 of a file -> (5, 2), x, y in its pixels
_SIDE = 320  # pixels; what YuNet was trained at
_NEAR = 40  # donors to choose among, on either side


@runtime_checkable
class Landmarker(Protocol):
    """A detector that gives landmarks too; of ours, YuNet."""

    def find_landmarks(self, crop: RGB) -> FloatArray | None:
        """See `YuNet.find_landmarks`."""
        ...


def find_landmarks(
    records: Sequence[Record], faces: Mapping[str, Box], detector: Landmarker, cache: Path
) -> Landmarks:
    """The landmarks of each record's face; records where none are seen are absent.

    Args:
        cache: a JSON file of earlier answers, extended by what is new.
    """
    known = json.loads(cache.read_text()) if cache.exists() else {}
    missing = [r for r in records if r.sha256 not in known]
    for record in progress(missing, desc="landmarks", disable=not missing):
        image = images.decode(record.read())
        at = face_region(faces[record.sha256], image.shape[1], image.shape[0], 0.3)
        crop = np.ascontiguousarray(image[at.y : at.y + at.h, at.x : at.x + at.w])
        scale = _SIDE / max(at.w, at.h)
        size = max(1, round(at.w * scale)), max(1, round(at.h * scale))
        points = detector.find_landmarks(cv2.resize(crop, size).astype(np.uint8))
        known[record.sha256] = None if points is None else (points / scale + (at.x, at.y)).tolist()
    if missing:
        write_atomically(cache, json.dumps(known).encode())
    wanted = {record.sha256 for record in records}
    return {
        key: np.asarray(points, np.float32)
        for key, points in known.items()
        if points is not None and key in wanted
    }


class Donors:
    """Photographs, in the order in which their faces are turned.

    Args:
        records: photographs alone.
        landmarks: of them; those without are left out.
    """

    def __init__(self, records: Sequence[Record], landmarks: Landmarks) -> None:
        self.landmarks = landmarks
        usable = [record for record in records if record.sha256 in landmarks]
        turns = np.array([_turn(landmarks[record.sha256]) for record in usable])
        order = np.argsort(turns, kind="stable")
        self._turns, self._records = turns[order], [usable[i] for i in order]

    def pick(self, target: Record, rng: np.random.Generator) -> Record | None:
        """Another person's photograph whose face is turned alike; None where there is none."""
        points = self.landmarks.get(target.sha256)
        if points is None:
            return None
        place = int(np.searchsorted(self._turns, _turn(points)))
        near = self._records[max(0, place - _NEAR) : place + _NEAR]
        others = [record for record in near if record.group != target.group]
        return others[int(rng.integers(len(others)))] if others else None


def _turn(points: FloatArray) -> float:
    """How far a face looks to a side.

    That is the nose's distance from the middle of the eyes, in eye distances, along their line.
    """
    left, right, nose = (np.asarray(point, float) for point in points[:3])
    across = right - left
    return float((nose - (left + right) / 2) @ across / max(float(across @ across), 1e-6))
