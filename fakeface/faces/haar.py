"""OpenCV's Haar cascade (Viola and Jones, 2001): one large face, upright or a little tilted.

It needs no file beside the OpenCV wheel. It sees no small faces, and of a group often nobody;
`Haar.smallest` says from which size on a face can be seen.
"""

from __future__ import annotations

import math
import threading
from pathlib import Path

import cv2
import numpy as np

from fakeface.faces.boxes import NOTHING, Found, Numbers, to_faces
from fakeface.faces.tiles import factor_to, shrink
from fakeface.types import RGB, DetectorError, Face

_SIDE = 512  # longest side of what the cascade is shown, in pixels
_LEAST = 24  # pixels of the smallest window that the cascade was trained for


class Haar:
    """The frontal cascade of the OpenCV wheel, with fall-backs for tilted and weak faces."""

    name = "haar"

    # In turn, until one finds a face: angles of the picture in degrees, and how many neighbouring
    # windows must agree.
    _PASSES = (((0,), 8), ((-20, 20), 6), ((0,), 3))
    # A Haar square reaches from eyebrows to chin; these make YuNet's box of it (medians over 949
    # photographs and fakes): centre moved down by 0.021, width times 0.832, height times 1.122.
    _DOWN, _WIDTH, _HEIGHT = 0.021, 0.832, 1.122

    def __init__(self) -> None:
        # The wheel's type stub forgets the sub-package that holds the cascades.
        path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"
        self._cascade = cv2.CascadeClassifier(str(path))
        if self._cascade.empty():
            raise DetectorError("The OpenCV package has no Haar cascades; install opencv < 5.")
        self._lock = threading.Lock()

    def detect(self, image: RGB) -> tuple[Face, ...]:
        """See `Detector.detect`."""
        factor = factor_to(image, _SIDE)
        boxes, scores = self._look(shrink(image, factor))
        return to_faces(Found(boxes / factor, scores), image.shape[1], image.shape[0])

    def smallest(self, image: RGB) -> int:
        """See `Detector.smallest`."""
        factor = factor_to(image, _SIDE)
        grey, _ = _add_border(shrink(image, factor))
        return math.ceil(self._HEIGHT * _least(grey) / factor)

    def _look(self, small: RGB) -> Found:
        grey, border = _add_border(small)
        for angles, neighbours in self._PASSES:
            found = [box for angle in angles for box in self._detect_at(grey, angle, neighbours)]
            if found:
                # The two turned passes may see one face twice.
                kept = cv2.groupRectangles([b.astype(int).tolist() for b in found] * 2, 1, 0.4)[0]
                squares = np.asarray(kept, float).reshape(-1, 4)
                boxes = [self._to_face(square, border) for square in squares]
                return Found(np.reshape(boxes, (-1, 4)), np.full(len(boxes), np.nan))
        return NOTHING

    def _detect_at(self, grey: cv2.typing.MatLike, angle: int, neighbours: int) -> list[Numbers]:
        """Squares found in the picture turned by `angle`, in its own upright coordinates."""
        height, width = grey.shape
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
        if angle:
            grey = cv2.warpAffine(grey, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
        least = _least(grey)
        with self._lock:
            found = self._cascade.detectMultiScale(grey, 1.1, neighbours, minSize=(least, least))
        back = cv2.invertAffineTransform(turn)
        boxes = []
        for x, y, w, h in np.asarray(found, float).reshape(-1, 4):
            centre = back @ np.array([x + w / 2, y + h / 2, 1.0])
            boxes.append(np.array([centre[0] - w / 2, centre[1] - h / 2, w, h]))
        return boxes

    def _to_face(self, square: Numbers, border: int) -> Numbers:
        """The face of a Haar square, in YuNet's framing and without the border."""
        x, y, side, _ = square
        w, h = self._WIDTH * side, self._HEIGHT * side
        left = x + side / 2 - w / 2 - border
        top = y + (0.5 + self._DOWN) * side - h / 2 - border
        return np.array([left, top, w, h])


def _add_border(small: RGB) -> tuple[cv2.typing.MatLike, int]:
    """Grey levels with a border, which lets faces be found that fill the picture; its width."""
    border = int(0.15 * max(small.shape[:2]))
    grey = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
    sides = (border, border, border, border)
    return cv2.copyMakeBorder(grey, *sides, cv2.BORDER_REPLICATE), border


def _least(grey: cv2.typing.MatLike) -> int:
    """The side of the smallest window that is tried: yet smaller ones see faces everywhere."""
    return max(_LEAST, int(0.12 * min(grey.shape)))
