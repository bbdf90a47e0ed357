"""Which detector looks: the protocol that all of them keep, and the choice between them."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Final, Protocol

from fakeface.faces.haar import Haar
from fakeface.faces.mtcnn import MTCNN
from fakeface.faces.yunet import FILE, YuNet, fetch, yunet_path
from fakeface.types import RGB, DetectorError, Face

log = logging.getLogger(__name__)

NAMES: Final = ("yunet", "mtcnn", "haar")
_RETRY = 300.0  # seconds after which YuNet is tried again, where it could not be had


class Detector(Protocol):
    """Finds faces. `name` says which detector it is and goes into every result."""

    name: str

    def detect(self, image: RGB) -> tuple[Face, ...]:
        """Faces of an upright RGB picture, from left to right; empty where there is none.

        Those too small to be judged are among them; see `boxes.is_judgeable`.
        """
        ...

    def smallest(self, image: RGB) -> int:
        """The height in pixels of this picture from which on a face is seen."""
        ...


class DetectorSource:
    """The best detector at hand, for a process that lives long.

    Where YuNet cannot be had, because the hub did not answer, say, it is tried again some minutes
    later; until then another detector looks.
    """

    def __init__(self, retry: float = _RETRY) -> None:
        self._retry = retry
        self._lock = threading.Lock()  # one thread loads, and the others wait
        self._detector: Detector | None = None
        self._tried = -float("inf")

    def get(self) -> Detector:
        """The detector to use now; it stays the same while a picture is judged with it.

        Raises:
            DetectorError: see `open_detector`.
        """
        with self._lock:
            final = isinstance(self._detector, YuNet)
            if self._detector is None or (
                not final and time.monotonic() > self._tried + self._retry
            ):
                self._detector, self._tried = open_detector(), time.monotonic()
            return self._detector


def open_detector(name: str | None = None) -> Detector:
    """The face detector asked for, or the best at hand.

    Args:
        name: "yunet", "mtcnn", "haar", or None for YuNet where its file is given
            (FAKEFACE_YUNET), cached, or can be fetched (not with HF_HUB_OFFLINE=1), and MTCNN
            otherwise.

    Raises:
        DetectorError: YuNet was asked for, by name or by FAKEFACE_YUNET, and cannot be had; or an
            installed package lacks its files.
    """
    if name not in (None, *NAMES):
        raise DetectorError(f"There is no face detector {name!r}; choose yunet, mtcnn or haar.")
    if name == "haar":
        return Haar()
    if name == "mtcnn":
        return MTCNN()
    path = yunet_path()
    if not path.exists() and "FAKEFACE_YUNET" not in os.environ:
        try:
            fetch(path)
        except (OSError, ValueError) as error:
            if name == "yunet":
                raise DetectorError(
                    f"YuNet cannot be fetched ({error}); put {FILE} somewhere and set "
                    "FAKEFACE_YUNET to its path, or use the detector mtcnn."
                ) from error
            log.info("YuNet cannot be fetched (%s); using MTCNN.", error)
            return MTCNN()
    return YuNet(path)
