"""YuNet as OpenVINO runs it, in less than half of OpenCV's time.

The network says of each square of 8, 16 and 32 pixels how likely a face is there, and where it lies
from there. What OpenCV's FaceDetectorYN makes of that is made here in NumPy, to the same numbers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from fakeface.programs import load_program
from fakeface.types import RGB

Numbers: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = NDArray[np.float64]  # (N, 15): box, five landmarks as x, y, and score

SCORE, OVERLAP, MOST = 0.7, 0.3, 500  # the least score of a face, and of how many boxes one stays
_SQUARES: Final = (8, 16, 32)  # pixels
_PARTS: Final = ("cls", "obj", "bbox", "kps")
_OUTPUTS: Final = [f"{part}_{square}" for part in _PARTS for square in _SQUARES]

log = logging.getLogger(__name__)


def compile_yunet(data: bytes) -> Callable[[RGB], Rows] | None:
    """YuNet's file as a function of a picture that one thread may call at a time.

    Returns:
        A function; None where OpenVINO is not installed or cannot run it, which is logged.
    """
    try:
        import openvino

        graph = openvino.Core().read_model(data)
        graph.reshape({graph.input(0): openvino.PartialShape([1, 3, -1, -1])})
        program = load_program(graph, many_shapes=True)
    except (ImportError, RuntimeError) as error:
        log.info("OpenVINO cannot run YuNet (%s), so OpenCV does.", str(error).partition("\n")[0])
        return None

    def run(image: RGB) -> Rows:
        batch = pad(image)
        found = program(batch)
        return read_outputs({name: found[name][0] for name in _OUTPUTS}, batch.shape[3])

    return run


def pad(image: RGB) -> Numbers:
    """A picture (H, W, 3) as the network's input, (1, 3, H', W'), of whole squares of 32 pixels."""
    height, width = image.shape[:2]
    largest = _SQUARES[-1]
    batch = np.zeros((1, 3, height + -height % largest, width + -width % largest), np.float32)
    batch[0, :, :height, :width] = image[:, :, ::-1].transpose(2, 0, 1)  # blue first
    return batch


def read_outputs(outputs: Mapping[str, Numbers], width: int) -> Rows:
    """The faces that the network saw.

    Args:
        outputs: for each size of squares, row by row: `cls_8` and `obj_8`, how likely a face and an
            object is there, (squares, 1); `bbox_8`, its middle from the square's corner and the
            logarithms of its sides, (squares, 4); `kps_8`, its landmarks from there, (squares, 10);
            all in squares.
        width: of the network's input, in pixels.

    Returns:
        Of faces that overlap, the surest; in pixels.
    """
    rows = np.concatenate([_read_squares(outputs, width, square) for square in _SQUARES])
    if len(rows) > 1:  # by whole pixels, as OpenCV does
        boxes = rows[:, :4].astype(int).tolist()
        kept = cv2.dnn.NMSBoxes(boxes, rows[:, 14].tolist(), SCORE, OVERLAP, 1.0, MOST)
        rows = rows[np.asarray(kept, int).ravel()]
    return rows.astype(float)


def _read_squares(outputs: Mapping[str, Numbers], width: int, square: int) -> Numbers:
    """The rows of one size of squares, float32 (N, 15); faces may overlap."""
    likely, seen, boxes, points = (outputs[f"{part}_{square}"] for part in _PARTS)
    scores = np.sqrt(likely[:, 0].clip(0, 1) * seen[:, 0].clip(0, 1))
    at = np.flatnonzero(scores >= SCORE)
    corner = np.stack([at % (width // square), at // (width // square)], 1)
    middle = (corner + boxes[at, :2]) * square
    sides = np.exp(boxes[at, 2:]) * square
    landmarks = (corner[:, None] + points[at].reshape(-1, 5, 2)) * square
    parts = middle - sides / 2, sides, landmarks.reshape(-1, 10), scores[at, None]
    return np.concatenate(parts, 1).astype(np.float32)
