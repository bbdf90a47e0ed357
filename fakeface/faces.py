"""RGB -> faces, by one protocol: YuNet where its file is at hand, else OpenCV's Haar cascade.

YuNet (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023) finds tilted and small
faces; its file is fetched once, checked against a pinned sha256 and kept in the user's cache.
The Haar cascade (Viola and Jones, 2001) comes inside the OpenCV wheel and needs no file.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import platformdirs

from fakeface.types import RGB, Box, DetectorError, Face

_Numbers: TypeAlias = npt.NDArray[np.float64]

log = logging.getLogger(__name__)

YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
_YUNET_FILE = "face_detection_yunet_2023mar.onnx"
_YUNET_PATH_ON_HUB = f"opencv/face_detection_yunet/resolve/main/{_YUNET_FILE}"
_FETCH_TIMEOUT = 4.0  # seconds to connect and between reads; the file has 230 kB
_DOES_NOT_FETCH = ("1", "true", "yes", "on")

MIN_FACE = 40  # pixels; below that a crop holds too little to judge
_YUNET_SIDE = 960  # longest side the detector is shown, in pixels
_HAAR_SIDE = 512


class Detector(Protocol):
    """Finds faces. `name` says which detector it is and goes into every result."""

    name: str

    def detect(self, image: RGB) -> tuple[Face, ...]:
        """Faces of an upright RGB picture, from left to right; empty where there is none."""
        ...


class YuNet:
    """OpenCV's FaceDetectorYN on a YuNet file whose sha256 is the pinned one."""

    name = "yunet"

    def __init__(self, path: Path) -> None:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DetectorError(
                f"The face detector {path} cannot be read ({error.strerror}); check the path."
            ) from error
        if hashlib.sha256(data).hexdigest() != YUNET_SHA256:
            raise DetectorError(
                f"The face detector {path} is not the expected file; delete it to use another."
            )
        self._net = cv2.FaceDetectorYN.create(
            "onnx", np.frombuffer(data, np.uint8), np.empty(0, np.uint8), (320, 320), 0.7, 0.3, 500
        )
        self._lock = threading.Lock()  # the network keeps its input size between calls

    def detect(self, image: RGB) -> tuple[Face, ...]:
        """See `Detector.detect`."""
        small, factor = _shrink(image, _YUNET_SIDE)
        with self._lock:
            self._net.setInputSize((small.shape[1], small.shape[0]))
            rows = self._net.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1]
        if rows is None:
            return ()
        return _faces(image, [(np.asarray(r[:4], float) / factor, float(r[14])) for r in rows])


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
        small, factor = _shrink(image, _HAAR_SIDE)
        # A border lets it find faces that fill the picture.
        border = int(0.15 * max(small.shape[:2]))
        grey = cv2.copyMakeBorder(
            cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)),
            border, border, border, border, cv2.BORDER_REPLICATE,
        )  # fmt: skip
        for angles, neighbours in self._PASSES:
            found = [box for angle in angles for box in self._turned(grey, angle, neighbours)]
            if found:
                # The two turned passes may see one face twice.
                kept = cv2.groupRectangles([b.astype(int).tolist() for b in found] * 2, 1, 0.4)[0]
                squares = np.asarray(kept, float).reshape(-1, 4)
                return _faces(image, [(self._framed(s, border) / factor, None) for s in squares])
        return ()

    def _turned(self, grey: cv2.typing.MatLike, angle: int, neighbours: int) -> list[_Numbers]:
        """Squares found in the picture turned by `angle`, in its own upright coordinates."""
        height, width = grey.shape
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
        if angle:
            grey = cv2.warpAffine(grey, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
        least = max(24, int(0.12 * min(height, width)))
        with self._lock:
            found = self._cascade.detectMultiScale(grey, 1.1, neighbours, minSize=(least, least))
        back = cv2.invertAffineTransform(turn)
        boxes = []
        for x, y, w, h in np.asarray(found, float).reshape(-1, 4):
            centre = back @ np.array([x + w / 2, y + h / 2, 1.0])
            boxes.append(np.array([centre[0] - w / 2, centre[1] - h / 2, w, h]))
        return boxes

    def _framed(self, square: _Numbers, border: int) -> _Numbers:
        """The face of a Haar square, in YuNet's framing and without the border."""
        x, y, side, _ = square
        w, h = self._WIDTH * side, self._HEIGHT * side
        left = x + side / 2 - w / 2 - border
        top = y + (0.5 + self._DOWN) * side - h / 2 - border
        return np.array([left, top, w, h])


def judgeable(width: int, height: int) -> bool:
    """Whether a face of that many pixels is large enough; faces are higher than wide."""
    return min(width, height) >= MIN_FACE * 0.7 and height >= MIN_FACE


def _shrink(image: RGB, side: int) -> tuple[RGB, float]:
    """The picture with no side longer than `side`, and the factor it was scaled by."""
    factor = min(1.0, side / max(image.shape[:2]))
    if factor == 1.0:
        return image, 1.0
    size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8), factor


def _faces(image: RGB, found: Sequence[tuple[_Numbers, float | None]]) -> tuple[Face, ...]:
    """Clip boxes to the picture, drop the tiny ones, and order them from left to right."""
    height, width = image.shape[:2]
    faces = []
    for (x, y, w, h), confidence in found:
        left, right = round(max(0.0, float(x))), round(min(float(width), float(x + w)))
        top, bottom = round(max(0.0, float(y))), round(min(float(height), float(y + h)))
        if judgeable(right - left, bottom - top):
            faces.append(Face(Box(left, top, right - left, bottom - top), confidence))
    return tuple(sorted(faces, key=lambda f: (f.box.x, f.box.y)))


def yunet_path() -> Path:
    """Where YuNet's file is looked for: FAKEFACE_YUNET, else the user's cache."""
    given = os.environ.get("FAKEFACE_YUNET")
    return Path(given) if given else platformdirs.user_cache_path("fakeface") / _YUNET_FILE


def _fetch_yunet(path: Path) -> None:
    """Download YuNet to `path`, checked by sha256 and renamed into place.

    Raises:
        OSError: there is no network, or what came is not the expected file.
    """
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    with urllib.request.urlopen(f"{hub}/{_YUNET_PATH_ON_HUB}", timeout=_FETCH_TIMEOUT) as answer:
        data = answer.read(4 * 2**20)
    if hashlib.sha256(data).hexdigest() != YUNET_SHA256:
        raise OSError("the file that came has another sha256")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(data)
    part.replace(path)


def open_detector(name: str | None = None) -> Detector:
    """The face detector asked for, or the best at hand.

    Args:
        name: "yunet", "haar", or None for YuNet where its file is given (FAKEFACE_YUNET), cached,
            or can be fetched (not with HF_HUB_OFFLINE=1), and Haar otherwise.

    Raises:
        DetectorError: YuNet was asked for, by name or by FAKEFACE_YUNET, and cannot be had.
    """
    if name not in (None, "yunet", "haar"):
        raise DetectorError(f"There is no face detector {name!r}; choose yunet or haar.")
    if name == "haar":
        return Haar()
    path = yunet_path()
    if not path.exists() and "FAKEFACE_YUNET" not in os.environ:
        try:
            if os.environ.get("HF_HUB_OFFLINE", "").lower() in _DOES_NOT_FETCH:
                raise OSError("HF_HUB_OFFLINE is set")
            _fetch_yunet(path)
        except (OSError, ValueError) as error:
            if name == "yunet":
                raise DetectorError(
                    f"YuNet cannot be fetched ({error}); put {_YUNET_FILE} somewhere and set "
                    "FAKEFACE_YUNET to its path, or use the Haar detector."
                ) from error
            log.info("YuNet cannot be fetched (%s); using the Haar cascade.", error)
            return Haar()
    return YuNet(path)
