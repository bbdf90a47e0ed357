"""The models that are in the repository do their job."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from fakeface.analysis import analyse
from fakeface.faces import Detector
from fakeface.images import decoder as images
from fakeface.models import checkpoints, runtime
from fakeface.models.engine import Model
from fakeface.quality import UNUSUAL
from fakeface.stability import reencode
from fakeface.types import RGB, Box, Face, Score, Verdict
from tests.conftest import as_picture
from tests.drawings import STYLES

NAMES = [card.name for card in checkpoints.installed()]
DATA = Path(__file__).parent / "data"
MADE = sorted((DATA / "eigenfaces").glob("*.jpg"))


@pytest.fixture(scope="module")
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Model]:
    """As users load them. What OpenVINO makes of them is kept for the next run of the tests."""
    kept = getattr(request.config, "cache", None)
    place = kept.mkdir("fakeface") if kept else tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime.platformdirs, "user_cache_path", lambda _: place)
        return [checkpoints.load(name, device="cpu", engine="auto") for name in NAMES]


@pytest.fixture(scope="module")
def pictures(portrait) -> dict[str, RGB]:
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


@pytest.fixture(scope="module")
def found(pictures, haar) -> dict[str, Face]:
    """The only face of each portrait."""
    faces = {}
    for name, image in pictures.items():
        (faces[name],) = haar.detect(image)
    return faces


@pytest.fixture(scope="module")
def photographs(pictures, models, haar) -> dict[str, dict[str, Score]]:
    """What every model says of the only face of each portrait."""
    return {name: judge(image, models, haar) for name, image in pictures.items()}


@pytest.fixture(scope="module")
def drawn(pictures) -> Callable[[str, str], RGB]:
    """A portrait as a drawing: its name and the style -> pixels."""
    return functools.cache(lambda name, style: STYLES[style](pictures[name]))


@pytest.fixture(scope="module")
def made(models, haar) -> list[dict[str, Score]]:
    """Eigenfaces that the models did not see, judged; they have seen others."""
    return [judge(images.decode(path.read_bytes()), models, haar) for path in MADE]


def judge(
    image: RGB, models: list[Model], haar: Detector, *, stability: bool = False
) -> dict[str, Score]:
    """What each model says of the only face of a picture."""
    (face,) = analyse(as_picture(image), models=models, detector=haar, stability=stability).faces
    return {score.model: score for score in face.scores}


@pytest.fixture(params=NAMES)
def model(request, models) -> Model:
    return models[NAMES.index(request.param)]


def test_a_model_is_shipped():
    assert NAMES
    assert checkpoints.default() in NAMES


def test_no_photograph_of_a_real_person_is_called_made(model, photographs):
    said = {name: scores[model.name] for name, scores in photographs.items()}
    assert {n: s for n, s in said.items() if s.verdict is Verdict.FAKE} == {}


def test_made_faces_are_called_made(model, made):
    assert len(made) >= 10
    said = [scores[model.name].verdict for scores in made]
    assert Verdict.REAL not in said
    if model.name == "resnet18":
        pytest.xfail("it is unsure: it gives them 0.6 to 0.9, and its threshold is 0.94")
    assert said.count(Verdict.FAKE) >= 0.8 * len(said)


def test_made_faces_are_called_made_after_the_stability_check(models, haar):
    """Of the default model, which is the cheapest, and which most people ask."""
    (default,) = (model for model in models if model.name == checkpoints.default())
    said = [
        judge(images.decode(path.read_bytes()), [default], haar, stability=True)[default.name]
        for path in MADE
    ]
    assert all(len(score.variants) for score in said)
    verdicts = [score.verdict for score in said]
    assert verdicts.count(Verdict.FAKE) >= 0.8 * len(said)
    assert Verdict.REAL not in verdicts


def test_every_made_face_is_more_suspicious_than_every_photograph(model, made, photographs):
    """The order of the labels: p(fake) is high for fakes."""
    fakes = [scores[model.name].p_fake for scores in made]
    real = [scores[model.name].p_fake for scores in photographs.values()]
    assert min(fakes) > max(real)


def test_the_card_tells_what_was_measured(model):
    card = model.card
    for name in ("val", "test", "test_unseen", "swaps", "wild_generated", "wild_swaps"):
        auc = card.metrics["sets"][name]["auc"]
        assert 0 <= auc["low"] <= auc["value"] <= auc["high"] <= 1
    assert re.match(rf"python -m train[. ]evaluate {model.name} ", card.metrics["command"])
    assert re.match(r"python -m train[. ](finetune|average) ", card.training["command"])
    assert len(card.training["data"]) == 16
    assert card.licence and card.terms


def test_the_weights_stay_small():
    sizes = [p.stat().st_size for p in checkpoints.checkpoints_root().glob("*/model.safetensors")]
    assert sum(sizes) < 140e6


def familiarity(model, image, box) -> float:
    """The out-of-distribution score of a face."""
    assert model.reference is not None, f"run python -m train out-of-distribution {model.name}"
    return float(model.reference.score(model.forward(model.tensor(image, [box]))[1])[0])


def test_photographs_are_familiar_to_a_model_and_noise_is_not(model, found, pictures):
    for name, image in pictures.items():
        assert familiarity(model, image, found[name].box) >= UNUSUAL, name
    noise = np.random.default_rng(0).integers(0, 256, image.shape).astype(np.uint8)
    assert familiarity(model, noise, found[name].box) < UNUSUAL


@pytest.fixture
def sees_drawings(model, request) -> None:
    """ConvNeXt-Tiny warns of few drawings; see train/LOG.md."""
    if model.name == "convnext_tiny":
        request.applymarker(pytest.mark.xfail(reason="its maps hardly tell a drawing"))


@pytest.mark.usefixtures("sees_drawings")
@pytest.mark.parametrize("style", STYLES)
def test_drawings_are_unusual_to_a_model(model, found, drawn, style):
    for name in ("Grace Hopper", "Eileen Collins"):
        assert familiarity(model, drawn(name, style), found[name].box) < UNUSUAL, name


@pytest.mark.usefixtures("sees_drawings")
@pytest.mark.parametrize(
    ("file", "box"),
    [("woman_doctor.png", Box(51, 14, 63, 86)), ("boy.png", Box(26, 37, 68, 86))],
)
def test_drawings_by_people_are_unusual_to_a_model(model, file, box):
    image = images.decode((DATA / "drawings" / file).read_bytes())
    assert familiarity(model, image, box) < UNUSUAL


@pytest.mark.usefixtures("sees_drawings")
def test_the_answer_warns_of_a_drawing(model, haar, found, drawn, monkeypatch):
    face = found["Grace Hopper"]
    monkeypatch.setattr(haar, "detect", lambda _: (face,))  # it does not see that of the drawing
    drawing = as_picture(drawn("Grace Hopper", "cartoon"))
    (face,) = analyse(drawing, models=[model], detector=haar, stability=False).faces
    assert "it may be a painting, a drawing or a render" in face.quality.warnings[-1]
