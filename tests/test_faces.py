"""Faces are found where they are, and nowhere else."""

from __future__ import annotations

import hashlib
import http.server
import threading
from typing import ClassVar

import cv2
import numpy as np
import pytest

from fakeface import faces
from fakeface.images import decoder as images
from fakeface.types import Box, DetectorError

# Read off the picture: from the forehead to the chin, and from cheek to cheek.
HOPPER = Box(180, 115, 170, 215)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    w = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    h = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    both = max(0, w) * max(0, h)
    return both / (a.w * a.h + b.w * b.h - both)


@pytest.fixture(scope="module")
def picture(portrait):
    return images.decode(portrait)


def test_a_face_is_found_in_its_place(picture, haar):
    (face,) = haar.detect(picture)
    assert overlap(face.box, HOPPER) > 0.6
    assert face.confidence is None


@pytest.mark.parametrize("factor", [0.5, 2.0, 5.0])
def test_its_box_grows_with_the_picture(picture, haar, factor):
    (face,) = haar.detect(cv2.resize(picture, None, fx=factor, fy=factor))
    scaled = Box(*(round(n * factor) for n in HOPPER.as_list()))
    assert overlap(face.box, scaled) > 0.6


@pytest.mark.parametrize("angle", [-20, 20])
def test_a_tilted_face_is_found(picture, haar, angle):
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((HOPPER.x + 85, HOPPER.y + 107), angle, 1.0)
    found = haar.detect(cv2.warpAffine(picture, turn, (width, height)))
    assert [overlap(face.box, HOPPER) > 0.5 for face in found] == [True]


def test_a_face_that_fills_the_picture_is_found(picture, haar):
    box = HOPPER
    (face,) = haar.detect(
        np.ascontiguousarray(picture[box.y : box.y + box.h, box.x : box.x + box.w])
    )
    assert face.box.w > 100


def test_every_face_is_found_from_left_to_right(picture, haar):
    found = haar.detect(np.hstack([picture, picture[:, ::-1], picture]))
    assert len(found) == 3
    assert [face.box.x for face in found] == sorted(face.box.x for face in found)


@pytest.mark.parametrize("kind", ["black", "noise", "stripes", "gradient", "tiny", "one pixel"])
def test_no_face_where_there_is_none(haar, kind):
    rng = np.random.default_rng(0)
    grid = np.indices((400, 500)).sum(0)
    picture = {
        "black": np.zeros((400, 500, 3), np.uint8),
        "noise": rng.integers(0, 256, (400, 500, 3), np.uint8),
        "stripes": np.repeat((grid % 40 // 20 * 255).astype(np.uint8)[..., None], 3, 2),
        "gradient": np.repeat((grid * 255 // 900).astype(np.uint8)[..., None], 3, 2),
        "tiny": rng.integers(0, 256, (12, 9, 3), np.uint8),
        "one pixel": np.zeros((1, 1, 3), np.uint8),
    }[kind]
    assert haar.detect(picture) == ()


def test_faces_too_small_to_judge_are_left_out(picture, haar):
    factor = 25 / HOPPER.h
    assert haar.detect(cv2.resize(picture, None, fx=factor, fy=factor)) == ()


def test_boxes_lie_inside_the_picture(picture, haar):
    for left in range(0, 320, 40):
        part = np.ascontiguousarray(picture[60:, left:])
        for face in haar.detect(part):
            box = face.box
            assert box.x >= 0 and box.x + box.w <= part.shape[1]
            assert box.y >= 0 and box.y + box.h <= part.shape[0]


def test_threads_do_not_disturb_each_other(picture, haar):
    wanted = [face.box for face in haar.detect(picture)]
    got: list[list[Box]] = []
    threads = [
        threading.Thread(target=lambda: got.append([f.box for f in haar.detect(picture)]))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [wanted] * 6


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and a machine that may fetch."""
    monkeypatch.setattr(faces.platformdirs, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    return tmp_path / "fakeface" / "face_detection_yunet_2023mar.onnx"


@pytest.fixture
def hub(monkeypatch):
    """A hub on this machine that answers every path with `content`."""

    class Hub(http.server.BaseHTTPRequestHandler):
        content = b"not the detector"
        asked: ClassVar[list[str]] = []

        def do_GET(self):
            self.asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.content)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield Hub
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_the_hub_sends_must_be_the_pinned_file(cache, hub):
    assert faces.open_detector().name == "haar"
    assert not cache.exists(), "an unknown file was kept"
    with pytest.raises(DetectorError, match="sha256"):
        faces.open_detector("yunet")


def test_yunet_is_fetched_once(cache, hub, monkeypatch):
    hub.asked.clear()
    monkeypatch.setattr(faces, "YUNET_SHA256", hashlib.sha256(hub.content).hexdigest())
    monkeypatch.setattr(faces, "YuNet", lambda path: path)
    assert faces.open_detector() == cache
    assert cache.read_bytes() == hub.content
    assert faces.open_detector() == cache
    assert len(hub.asked) == 1
    assert hub.asked[0].endswith("/face_detection_yunet_2023mar.onnx")


def test_without_a_network_haar_is_used_at_once(cache, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert faces.open_detector().name == "haar"


def test_offline_means_that_nobody_is_asked(cache, hub, monkeypatch):
    hub.asked.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert faces.open_detector().name == "haar"
    assert hub.asked == []


def test_a_given_file_that_is_wrong_is_an_error_and_no_fallback(tmp_path, monkeypatch):
    path = tmp_path / "yunet.onnx"
    monkeypatch.setenv("FAKEFACE_YUNET", str(path))
    with pytest.raises(DetectorError, match="cannot be read"):
        faces.open_detector()
    path.write_bytes(b"something else")
    with pytest.raises(DetectorError, match="not the expected file"):
        faces.open_detector()


def test_an_unknown_detector():
    with pytest.raises(DetectorError, match="yunet or haar"):
        faces.open_detector("mtcnn")


@pytest.mark.parametrize("flag", ["yunet", None])
def test_yunet_finds_the_same_face(picture, flag):
    """Runs where the file was fetched by an earlier use of fakeface, or is given."""
    path = faces.yunet_path()
    if not path.exists():
        pytest.skip(f"{path} is not there, and tests fetch nothing")
    (face,) = faces.open_detector(flag).detect(picture)
    assert overlap(face.box, HOPPER) > 0.6
    assert face.confidence > 0.7
