"""The engine in the browser against the one in Python: pixels, faces, scores, verdicts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

import fakeface
from fakeface.crowd import FalseAlarms, judge_together
from fakeface.faces import MTCNN
from fakeface.models import checkpoints
from fakeface.report.html import STYLES
from fakeface.types import RGB, Analysis, Box, Score, Verdict
from tests.conftest import overlap
from tests.ui.static import engine, judge, served

pytestmark = pytest.mark.ui

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
CASES = ROOT / "tests" / "data" / "cases"
EIGENFACES = sorted((ROOT / "tests" / "data" / "eigenfaces").glob("*.jpg"))
HOPPER, COLLINS = EXAMPLES / "grace_hopper.jpg", EXAMPLES / "eileen_collins.jpg"

CLOSE = 0.02  # of p(fake)
CLOSE_IN_COPIES = 0.1  # a box that is off by one pixel counts for more where a copy is smaller


def saved(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def turned() -> bytes:
    """Lying on its side, with the orientation that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.open(COLLINS).transpose(Image.Transpose.ROTATE_90), exif=exif, quality=95)


def see_through() -> bytes:
    """A face that fades into nothing below, which is shown on white."""
    image = Image.open(HOPPER).convert("RGBA")
    fade = np.linspace(255, 0, image.height).clip(0, 255).astype(np.uint8)
    image.putalpha(Image.fromarray(np.repeat(fade[:, None], image.width, 1)))
    return saved(image, "PNG")


def large() -> bytes:
    """Twelve megapixels with a small face in a corner, which only a part of the picture shows."""
    canvas = np.random.default_rng(4).normal(128, 6, (3000, 4000, 3)).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(canvas)
    image.paste(Image.open(COLLINS).resize((180, 180)), (3700, 2700))
    return saved(image, quality=90)


def mixed(share: float) -> bytes:
    """A face between a photograph and a made one, for scores between 0 and 1."""
    real = Image.open(HOPPER).convert("RGB").crop((120, 60, 420, 360))
    made = Image.open(EIGENFACES[0]).convert("RGB").resize(real.size, Image.Resampling.BICUBIC)
    return saved(Image.blend(real, made, share), quality=90)


def group() -> bytes:
    """Photographs and made faces side by side."""
    canvas = Image.new("RGB", (1500, 640), "white")
    for i, path in enumerate([HOPPER, *EIGENFACES[:4], COLLINS, *EIGENFACES[4:8]]):
        canvas.paste(
            Image.open(path).convert("RGB").resize((300, 300)), (300 * (i % 5), 310 * (i // 5))
        )
    return saved(canvas, quality=92)


PICTURES: dict[str, Callable[[], bytes]] = {
    **{path.stem: path.read_bytes for path in EXAMPLES.glob("*.*g")},
    **{path.stem: path.read_bytes for path in EIGENFACES[:3]},
    "group_24_faces": (CASES / "group_24_faces.jpg").read_bytes,
    "group": group,
    "turned": turned,
    "see_through": see_through,
    "large": large,
    "grey": lambda: saved(Image.open(HOPPER).convert("L"), "WEBP", quality=80),
    "tiny": lambda: saved(Image.open(HOPPER).resize((160, 188)), quality=70),
    **{f"mixed_{share}": lambda share=share: mixed(share) for share in (0.3, 0.45, 0.6, 0.75)},
}


@pytest.fixture(scope="module")
def worker(browser: Browser, static_folder: Path) -> Iterator[Page]:
    """A window that holds the engine of the page alone."""
    with served(static_folder) as site, engine(browser, site) as page:
        yield page


@pytest.fixture(scope="module")
def in_python() -> Callable[[str], Analysis]:
    """What the Python engine says of one of `PICTURES`."""
    model, detector = fakeface.load(fakeface.default()), MTCNN()

    @functools.cache
    def analyse(name: str) -> Analysis:
        picture = fakeface.read_picture(PICTURES[name]())
        return fakeface.analyse(
            picture, models=[model], detector=detector, stability="near", provenance=False
        )

    return analyse


@pytest.mark.parametrize("name", PICTURES)
def test_the_same_faces_scores_and_verdicts(name, worker, in_python):
    wanted = in_python(name)
    found = judge(worker, PICTURES[name]())["analysis"]
    assert (found["width"], found["height"]) == (wanted.width, wanted.height)
    assert found["smallest"] == wanted.smallest
    assert len(found["small"]) == len(wanted.too_small)
    assert len(found["faces"]) == len(wanted.faces)
    moved = far = 0
    how = fakeface.load(fakeface.default()).calibration
    turning = how.real_below, how.fake_above
    for face, report in zip(found["faces"], wanted.faces):
        score = report.scores[0]
        box = Box(*face["box"])
        assert overlap(box, report.face.box) > 0.9
        if box != report.face.box:  # of small faces in a group; another crop has another score
            moved += 1
            continue
        assert face["p"] == pytest.approx(score.p_fake, abs=2 * CLOSE)
        far += abs(face["p"] - score.p_fake) > CLOSE
        if min(abs(score.p_fake - limit) for limit in turning) <= CLOSE:
            continue  # beside a threshold the verdict, and so the copies looked at, may differ
        assert face["verdict"] == STYLES[score.verdict]
        assert face.get("byChance", False) == score.by_chance
        assert [copy["name"] for copy in face["copies"]] == [copy.name for copy in score.variants]
        for copy, variant in zip(face["copies"], score.variants):
            assert copy["p"] == pytest.approx(variant.p_fake, abs=CLOSE_IN_COPIES)
    assert moved <= len(wanted.faces) / 4
    assert far <= len(wanted.faces) / 20  # of a single face, none
    if wanted.crowds:
        crowd = wanted.crowds[0]
        assert (found["crowd"]["faces"], found["crowd"]["generated"]) == (
            crowd.faces,
            crowd.generated,
        )
        assert found["crowd"]["expected"] == pytest.approx(crowd.expected)
    else:
        assert found["crowd"] is None


def test_the_pictures_above_cover_every_verdict_and_scores_between(in_python):
    """Else the comparison above would say little."""
    scores = [face.scores[0] for name in PICTURES for face in in_python(name).faces]
    assert {score.verdict for score in scores} == set(Verdict)
    assert any(0.1 < score.p_fake < 0.9 for score in scores)


def noise(width: int, height: int) -> RGB:
    """Coarse and fine structure of all levels."""
    random = np.random.default_rng(width)
    coarse = cv2.resize(random.uniform(0, 255, (7, 5, 3)), (width, height))
    fine = random.normal(0, 40, (height, width, 3))
    return (coarse + fine).clip(0, 255).astype(np.uint8)


def call(page: Page, name: str, image: RGB, *options: Any) -> RGB:
    """A function of pixels.js on a picture."""
    height, width = image.shape[:2]
    found = page.evaluate(
        """async ([name, width, height, levels, options]) => {
          const pixels = await import("./pixels.js");
          const image = { width, height, data: Uint8Array.from(levels) };
          const out = await pixels[name](image, ...options);
          return [out.width, out.height, [...out.data]];
        }""",
        [name, width, height, image.ravel().tolist(), list(options)],
    )
    return np.array(found[2], np.uint8).reshape(found[1], found[0], 3)


@pytest.mark.parametrize("side", [50, 223, 224, 225, 301, 448])
def test_bicubic_is_that_of_pillow_bit_for_bit(side, worker):
    image = noise(side, side)
    wanted = Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC)
    assert (call(worker, "bicubic", image, 224, 224) == np.asarray(wanted)).all()


@pytest.mark.parametrize("size", [(200, 130), (100, 70), (199, 139), (67, 41), (40, 28)])
def test_shrinking_is_that_of_opencv(size, worker):
    image = noise(200, 140)
    wanted = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(call(worker, "shrink", image, *size) - wanted).max() <= 1
    part = [16, 10, 20, 12]
    found = call(worker, "shrink", image, *size, part)
    assert np.abs(found - wanted[10:22, 16:36]).max() <= 1


@pytest.mark.parametrize("side", [5, 11, 23, 24, 25, 60])
def test_squares_are_those_of_opencv(side, worker):
    image = noise(side, side)
    wanted = cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(call(worker, "toSquare", image, 24) - wanted).max() <= 1


def test_rounding_is_that_of_python(worker):
    numbers = [0.5, 1.5, 2.5, -0.5, -1.5, 2.4999, 2.5001, 7.0, 1e6 + 0.5]
    found = worker.evaluate(
        "async (all) => { const { round } = await import('./pixels.js'); return all.map(round); }",
        numbers,
    )
    assert found == [round(number) for number in numbers]


@pytest.mark.parametrize("seed", range(20))
def test_a_crowd_is_judged_as_in_python(seed, worker):
    random = np.random.default_rng(seed)
    card = checkpoints.read_card(checkpoints.checkpoints_root() / checkpoints.default())
    limits = card.calibration
    p_fake = random.beta(0.3, 0.5, random.integers(0, 24)).tolist()
    scores = [Score("", 0.0, p, limits.verdict(p)) for p in p_fake]
    alarms = FalseAlarms.from_metrics(card.metrics, limits.fake_above)
    wanted, crowd = judge_together(scores, alarms)
    found, told = worker.evaluate(
        """async (scores) => {
          const { judgeTogether } = await import("./crowd.js");
          const { alarms } = await (await fetch("./facts.json")).json();
          const crowd = judgeTogether(scores, alarms);
          return [scores, crowd];
        }""",
        [{"p": score.p_fake, "verdict": STYLES[score.verdict]} for score in scores],
    )
    assert [one["verdict"] for one in found] == [STYLES[score.verdict] for score in wanted]
    assert [one.get("byChance", False) for one in found] == [score.by_chance for score in wanted]
    if crowd is None:
        assert told is None
    else:
        assert told["p"] == pytest.approx(crowd.p_fake)
        assert told["expected"] == pytest.approx(crowd.expected)
        assert told["generated"] == crowd.generated
