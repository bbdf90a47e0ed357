"""The models that are in the repository do their job."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from fakeface.analysis import analyse
from fakeface.images import decoder as images
from fakeface.models import checkpoints
from fakeface.quality import UNUSUAL
from fakeface.stability import reencode
from fakeface.types import Box, Verdict
from tests.conftest import as_picture
from tests.drawings import STYLES

pytestmark = pytest.mark.slow

NAMES = [card.name for card in checkpoints.installed()]
DATA = Path(__file__).parent / "data"
MADE = sorted((DATA / "eigenfaces").glob("*.jpg"))


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return checkpoints.load(request.param, device="cpu")


def judge(model, haar, image):
    """The score of the only face of a picture."""
    found = analyse(as_picture(image), models=[model], detector=haar)
    (face,) = found.faces
    return face.scores[0]


@pytest.fixture(scope="module")
def photographs(portrait) -> dict[str, np.ndarray]:
    """Two portraits in the public domain, as they are and as they come back from the web."""
    out = {}
    for name, image in (
        ("Grace Hopper", images.decode(portrait)),
        ("Eileen Collins", skimage.data.astronaut()),
    ):
        out[name] = image
        for factor, quality in ((1.0, 60), (0.7, 80), (1.5, 90)):
            scaled = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            out[f"{name} x {factor}, JPEG {quality}"] = reencode(scaled, quality)
    return out


def test_a_model_is_shipped():
    assert NAMES
    assert checkpoints.default() in NAMES


def test_no_photograph_of_a_real_person_is_called_made(model, haar, photographs):
    said = {name: judge(model, haar, image) for name, image in photographs.items()}
    assert {n: s for n, s in said.items() if s.verdict is Verdict.FAKE} == {}


def test_made_faces_are_called_made(model, haar):
    """Eigenfaces that the model did not see; it has seen others."""
    assert len(MADE) >= 10
    said = [judge(model, haar, images.decode(path.read_bytes())).verdict for path in MADE]
    assert said.count(Verdict.FAKE) >= 0.8 * len(said)
    assert Verdict.REAL not in said


def test_every_made_face_is_more_suspicious_than_every_photograph(model, haar, photographs):
    """The order of the labels: p(fake) is high for fakes."""
    made = [judge(model, haar, images.decode(path.read_bytes())).p_fake for path in MADE]
    real = [judge(model, haar, image).p_fake for image in photographs.values()]
    assert min(made) > max(real)


def test_the_card_tells_what_was_measured(model):
    card = model.card
    for name in ("val", "test", "test_unseen", "swaps", "wild_generated", "wild_swaps"):
        auc = card.metrics["sets"][name]["auc"]
        assert 0 <= auc["low"] <= auc["value"] <= auc["high"] <= 1
    assert card.metrics["command"].startswith(f"python -m train.evaluate {model.name} ")
    assert re.match(r"python -m train\.(finetune|average) ", card.training["command"])
    assert len(card.training["data"]) == 16
    assert card.licence and card.terms


def test_the_weights_stay_small():
    sizes = [p.stat().st_size for p in checkpoints.checkpoints_root().glob("*/model.safetensors")]
    assert sum(sizes) < 140e6


def familiarity(model, image, box) -> float:
    """The out-of-distribution score of a face."""
    assert model.reference is not None, f"run python -m train out-of-distribution {model.name}"
    return float(model.reference.score(model.forward(model.tensor(image, [box]))[1])[0])


def test_photographs_are_familiar_to_a_model_and_noise_is_not(model, haar, photographs):
    for name, image in photographs.items():
        (face,) = haar.detect(image)
        assert familiarity(model, image, face.box) >= UNUSUAL, name
    noise = np.random.default_rng(0).integers(0, 256, image.shape).astype(np.uint8)
    assert familiarity(model, noise, face.box) < UNUSUAL


@pytest.mark.parametrize("style", STYLES)
def test_drawings_are_unusual_to_a_model(model, haar, photographs, style):
    for name in ("Grace Hopper", "Eileen Collins"):
        (face,) = haar.detect(photographs[name])
        assert familiarity(model, STYLES[style](photographs[name]), face.box) < UNUSUAL, name


@pytest.mark.parametrize(
    ("file", "box"),
    [("woman_doctor.png", Box(51, 14, 63, 86)), ("boy.png", Box(26, 37, 68, 86))],
)
def test_drawings_by_people_are_unusual_to_a_model(model, file, box):
    image = images.decode((DATA / "drawings" / file).read_bytes())
    assert familiarity(model, image, box) < UNUSUAL


def test_the_answer_warns_of_a_drawing(model, haar, photographs):
    drawing = STYLES["cartoon"](photographs["Grace Hopper"])
    (face,) = analyse(as_picture(drawing), models=[model], detector=haar).faces
    assert "it may be a painting, a drawing or a render" in face.quality.warnings[-1]
