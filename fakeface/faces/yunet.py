"""YuNet (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023).

It finds tilted and small faces in a few milliseconds. Its file is fetched once from a pinned
revision of the Hugging Face Hub, checked by sha256 and kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import platformdirs

from fakeface.faces.boxes import NOTHING, Found, to_faces
from fakeface.faces.tiles import look_everywhere, smallest
from fakeface.faces.yunet_program import MOST, OVERLAP, SCORE, Rows, compile_yunet
from fakeface.types import RGB, DetectorError, Face, FloatArray

REPOSITORY: Final = "opencv/face_detection_yunet"
REVISION: Final = "3cc26e7f1014a5ee5d74a42acee58bafc9d0a310"
FILE: Final = "face_detection_yunet_2023mar.onnx"
SHA256: Final = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"

_TIMEOUT = 4.0  # seconds for the hub to answer
# Pixels. Of the 78 faces of two group photographs, shrunk until half of them were lower than this,
# it found 75; of portraits that are cut out tightly it misses more.
_SEES = 24
# It scored 1.6 % of 500 photographs of test lower, and of 150 of them 55 to 71 % after a mask or a
# hand was painted over the mouth, 29 % with sunglasses, and 46 to 96 % as drawings or posters.
_SURE = 0.91


class YuNet:
    """A YuNet file whose sha256 is the pinned one: OpenVINO runs it, or OpenCV's FaceDetectorYN."""

    name = "yunet"

    def __init__(self, path: Path) -> None:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DetectorError(
                f"The face detector {path} cannot be read ({error.strerror}); check the path."
            ) from error
        if hashlib.sha256(data).hexdigest() != SHA256:
            raise DetectorError(
                f"The face detector {path} is not the expected file; delete it to use another."
            )
        self._net = cv2.FaceDetectorYN.create(
            "onnx", np.frombuffer(data, np.uint8), np.empty(0, np.uint8), (320, 320),
            SCORE, OVERLAP, MOST,
        )  # fmt: skip
        torch_alone = os.environ.get("FAKEFACE_ENGINE") == "torch"
        self._program = None if torch_alone else compile_yunet(data)
        self._home = os.getpid()
        self._lock = threading.Lock()  # neither may be called by two threads at once

    def detect(self, image: RGB) -> tuple[Face, ...]:
        """See `Detector.detect`."""
        found = look_everywhere(image, self._look, _SEES)
        return to_faces(found, image.shape[1], image.shape[0], _SURE)

    def smallest(self, image: RGB) -> int:
        """See `Detector.smallest`."""
        return smallest(image, _SEES)

    def find_landmarks(self, crop: RGB) -> FloatArray | None:
        """Where the features of the surest face of a crop are.

        Args:
            crop: upright RGB uint8 (H, W, 3) around one face, of some 300 pixels.

        Returns:
            Eyes, tip of the nose and corners of the mouth, (5, 2) as x, y in pixels, the left one
            in the picture first; or None where no face is seen.
        """
        rows = self._run(crop)
        if not len(rows):
            return None
        points = rows[rows[:, 14].argmax(), 4:14].reshape(5, 2)
        return np.asarray(points, np.float32)

    def _look(self, small: RGB) -> Found:
        rows = self._run(small)
        return Found(rows[:, :4], rows[:, 14]) if len(rows) else NOTHING

    def _run(self, small: RGB) -> Rows:
        """The network's rows (N, 15): box, five landmarks as x, y, and score."""
        with self._lock:
            # OpenVINO's threads are not there in a process that was forked from theirs.
            if self._program and self._home == os.getpid():
                return self._program(small)
            self._net.setInputSize((small.shape[1], small.shape[0]))
            rows = self._net.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1]
        return np.empty((0, 15)) if rows is None else np.asarray(rows, float)


def yunet_path() -> Path:
    """Where YuNet's file is looked for: FAKEFACE_YUNET, else the user's cache."""
    given = os.environ.get("FAKEFACE_YUNET")
    return Path(given) if given else platformdirs.user_cache_path("fakeface") / FILE


def fetch(path: Path) -> None:
    """Download YuNet to `path` from its pinned revision, and check its sha256.

    Raises:
        OSError: there is no network, or what came is not the expected file.
    """
    import httpx2  # here, since the hub's client takes half a second to import
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    hub = os.environ.get("HF_ENDPOINT")
    address = hf_hub_url(REPOSITORY, FILE, revision=REVISION, endpoint=hub)
    try:
        # Without a network this fails at once, where the download keeps trying for 23 seconds.
        get_hf_file_metadata(address, timeout=_TIMEOUT, token=False, endpoint=hub)
        got = hf_hub_download(
            REPOSITORY, FILE, revision=REVISION, local_dir=path.parent, token=False, endpoint=hub
        )
    except httpx2.HTTPError as error:
        raise OSError(str(error) or type(error).__name__) from error
    if hashlib.sha256(Path(got).read_bytes()).hexdigest() != SHA256:
        Path(got).unlink()
        raise OSError("the file that came has another sha256")
