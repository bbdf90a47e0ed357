"""The pipeline as a whole: one answer everywhere, and none that a re-encoding turns around."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fakeface import analysis as analysis_module
from fakeface import cli
from fakeface.analysis import analyse, analyse_file, read_or_report
from fakeface.models.calibrate import Calibration
from fakeface.models.engine import Model
from fakeface.models.out_of_distribution import Reference
from fakeface.models.preprocess import Preprocessing
from fakeface.report.record import to_dict
from fakeface.scan import rows
from fakeface.stability import COPIES
from fakeface.types import (
    RGB,
    RULE,
    Analysis,
    Box,
    Consensus,
    Face,
    FaceReport,
    Score,
    Status,
    Verdict,
)
from tests.conftest import card, random_network

HOW = Preprocessing(64, 0.3, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
LIMITS = Calibration(1.0, 0.3, 0.7)


class Found:
    """A detector that finds faces where it is told to."""

    name = "told"

    def __init__(self, *boxes: Box) -> None:
        self.boxes = boxes

    def detect(self, image: RGB) -> tuple[Face, ...]:
        return tuple(Face(box) for box in self.boxes)

    def smallest(self, image: RGB) -> int:
        return 1


class Grain(Model):
    """Calls a face AI-generated where it has fine grain, and real where it has none."""

    def __init__(self, name: str = "grain") -> None:
        network = random_network("mobilenetv2_100")
        super().__init__(card(name, preprocessing=HOW, calibration=LIMITS), network, "cpu")
        self.batches: list[int] = []

    def forward(self, batch: torch.Tensor):
        self.batches.append(len(batch))
        grain = (batch[..., 1:] - batch[..., :-1]).abs().mean(dim=(1, 2, 3))
        logits = torch.where(grain > 0.04, 4.0, -4.0).numpy()
        return logits, batch.mean(dim=(2, 3)).numpy()


class Fixed(Grain):
    """Gives every face one logit."""

    def __init__(self, name: str, logit: float) -> None:
        super().__init__(name)
        self.logit = logit

    def forward(self, batch: torch.Tensor):
        logits, features = super().forward(batch)
        return np.full_like(logits, self.logit), features


def png(image: RGB, **text: str) -> bytes:
    file, info = BytesIO(), PngInfo()
    for key, value in text.items():
        info.add_text(key, value)
    Image.fromarray(image).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def grainy(width: int = 256, height: int = 256, grain: int = 30) -> RGB:
    """Grey with single pixels that a JPEG or a shrinking takes away."""
    rng = np.random.default_rng(0)
    return np.asarray(110 + grain * rng.random((height, width, 1)).repeat(3, 2), np.uint8)


FACE = Box(60, 60, 100, 110)


# -- stability ----------------------------------------------------------------------------------


def test_a_verdict_that_flips_becomes_unsure_and_keeps_its_probability():
    model = Grain()
    found = analyse(png(grainy()), models=[model], detector=Found(FACE))
    (score,) = found.faces[0].scores
    assert score.alone is Verdict.FAKE
    assert Verdict.REAL in {variant.verdict for variant in score.variants}
    assert (score.verdict, score.stable) == (Verdict.UNSURE, False)
    assert score.logit == 4.0 and score.p_fake == pytest.approx(0.982, abs=1e-3)
    assert [variant.name for variant in score.variants] == [copy.name for copy in COPIES]
    assert found.verdict is Verdict.UNSURE
    assert model.batches == [1, 3], "the copies are one batch"


def test_a_verdict_that_stays_is_left_alone():
    found = analyse(png(grainy(grain=0)), models=[Grain()], detector=Found(FACE))
    (score,) = found.faces[0].scores
    assert [variant.verdict for variant in score.variants] == [Verdict.REAL] * 3
    assert (score.verdict, score.alone, score.stable) == (Verdict.REAL, Verdict.REAL, True)


def test_without_the_check_there_are_no_copies():
    model = Grain()
    found = analyse(png(grainy()), models=[model], detector=Found(FACE), stability=False)
    (score,) = found.faces[0].scores
    assert (score.verdict, score.alone, score.variants) == (Verdict.FAKE, None, ())
    assert score.stable
    assert model.batches == [1]


def test_near_a_threshold_alone_copies_are_scored(monkeypatch):
    data, detector = png(grainy()), Found(FACE, Box(10, 10, 100, 110))
    whole = analyse(data, models=[Grain()], detector=detector)
    monkeypatch.setattr(analysis_module, "may_turn", lambda card, copy, logit: False)
    model = Grain()
    none = analyse(data, models=[model], detector=detector, stability="near")
    assert model.batches == [2] and not none.faces[0].scores[0].variants
    monkeypatch.setattr(analysis_module, "may_turn", lambda card, copy, logit: True)
    near = analyse(data, models=[Grain()], detector=detector, stability="near")
    assert [f.scores[0].variants for f in near.faces] == [f.scores[0].variants for f in whole.faces]
    assert [f.scores[0].verdict for f in near.faces] == [f.scores[0].verdict for f in whole.faces]


def test_of_the_copies_only_those_are_made_that_may_turn_a_verdict(monkeypatch):
    data, detector = png(grainy()), Found(FACE, Box(10, 10, 100, 110))
    whole = analyse(data, models=[Grain()], detector=detector)
    monkeypatch.setattr(analysis_module, "may_turn", lambda card, copy, logit: copy is COPIES[1])
    model = Grain()
    near = analyse(data, models=[model], detector=detector, stability="near")
    assert model.batches == [2, 2]
    for some, all_ in zip(near.faces, whole.faces):
        assert some.scores[0].variants == all_.scores[0].variants[1:2]


def test_a_copy_that_leaves_too_little_of_a_face_does_not_count():
    boxes = Box(10, 10, 60, 70), FACE
    model = Grain()
    found = analyse(png(grainy()), models=[model], detector=Found(*boxes))
    small, large = (face.scores[0] for face in found.faces)
    assert [variant.name for variant in small.variants] == [copy.name for copy in COPIES[:2]]
    assert len(large.variants) == 3
    assert model.batches == [2, 5]
    tiny = analyse(png(grainy(1600, 1200)), models=[model], detector=Found(Box(9, 9, 44, 50)))
    (score,) = tiny.faces[0].scores
    assert (score.variants, score.alone, score.verdict) == ((), None, Verdict.FAKE)


def test_a_crowd_is_judged_in_parts_and_each_face_as_if_alone():
    network = random_network("mobilenetv2_100")
    model = Model(card("m", preprocessing=HOW, calibration=LIMITS), network, "cpu")
    image = np.random.default_rng(1).integers(0, 256, (400, 420, 3)).astype(np.uint8)
    boxes = [Box(45 * i, 10 + 190 * j, 44, 50 + 5 * i) for i in range(9) for j in range(2)]
    found = analyse(png(image), models=[model], detector=Found(*boxes), explain=True)
    assert [face.face.box for face in found.faces] == boxes
    for i in (0, 15, 16, 17):
        alone = analyse(png(image), models=[model], detector=Found(boxes[i]), explain=True)
        own, other = found.faces[i], alone.faces[0]
        assert own.scores[0].logit == pytest.approx(other.scores[0].logit, abs=1e-4)
        assert len(own.scores[0].variants) == len(other.scores[0].variants)
        for a, b in zip(own.scores[0].variants, other.scores[0].variants):
            assert a.p_fake == pytest.approx(b.p_fake, abs=1e-4)
        assert own.heatmaps[0].region == other.heatmaps[0].region
        assert own.heatmaps[0].values == pytest.approx(other.heatmaps[0].values, abs=1e-3)


# -- several models -----------------------------------------------------------------------------


def report(*verdicts: str) -> FaceReport:
    return FaceReport(Face(FACE), tuple(Score(v, 0.0, 0.5, Verdict[v]) for v in verdicts))


@pytest.mark.parametrize(
    ("said", "wanted", "agreeing"),
    [
        ("FAKE", "FAKE", 1),
        ("UNSURE", "UNSURE", 1),
        ("FAKE FAKE", "FAKE", 2),
        ("FAKE REAL", "UNSURE", 0),
        ("FAKE UNSURE", "UNSURE", 1),  # one of two is not more than half
        ("REAL REAL UNSURE", "REAL", 2),
        ("REAL REAL FAKE", "UNSURE", 0),
        ("REAL UNSURE UNSURE", "UNSURE", 2),
        ("FAKE FAKE FAKE UNSURE UNSURE", "FAKE", 3),
        ("FAKE FAKE UNSURE UNSURE", "UNSURE", 2),
    ],
)
def test_consensus(said, wanted, agreeing):
    found = report(*said.split()).consensus
    assert (found.verdict, found.agreeing) == (Verdict[wanted], agreeing)
    assert found.of == len(said.split())
    assert found.rule == RULE


def test_the_old_name_of_the_consensus_is_accepted_with_a_warning():
    with pytest.warns(DeprecationWarning, match="Consensus.reach,"):
        assert Consensus.reached([Verdict.FAKE]) == Consensus.reach([Verdict.FAKE])


def test_the_consensus_is_of_the_verdicts_that_survived():
    models = [Grain("a"), Fixed("b", 5.0), Fixed("c", 5.0)]
    found = analyse(png(grainy()), models=models, detector=Found(FACE))
    (face,) = found.faces
    assert [score.verdict.name for score in face.scores] == ["UNSURE", "FAKE", "FAKE"]
    assert (face.consensus.verdict, face.consensus.agreeing) == (Verdict.FAKE, 2)


def test_a_face_that_flips_does_not_hide_one_that_does_not():
    image = grainy(400, 200)
    image[:, 200:] = 70
    detector = Found(Box(50, 50, 90, 100), Box(260, 50, 90, 100))
    found = analyse(png(image), models=[Grain()], detector=detector)
    assert [face.scores[0].verdict.name for face in found.faces] == ["UNSURE", "REAL"]
    assert found.verdict is Verdict.UNSURE

    def face(p_fake: float, verdict: Verdict) -> FaceReport:
        return FaceReport(Face(FACE), (Score("m", 0.0, p_fake, verdict),))

    faces = face(0.98, Verdict.UNSURE), face(0.9, Verdict.FAKE), face(0.8, Verdict.FAKE)
    both = Analysis("x", "", Status.OK, 9, 9, "told", ("m",), faces)
    assert (both.verdict, both.p_fake) == (Verdict.FAKE, 0.9)


def test_who_judged_and_how_long_it_took():
    models = [Fixed("a", 1.0), Fixed("b", 1.0)]
    models[1].card = dataclasses.replace(models[1].card, sha256="ab" * 32)
    found = analyse(png(grainy()), models=models, detector=Found(FACE))
    assert [judge.model for judge in found.judges] == list(found.models) == ["a", "b"]
    assert found.judges[1].sha256 == "ab" * 32
    assert (found.judges[0].real_below, found.judges[0].fake_above) == (0.3, 0.7)
    assert all(0 < score.seconds < 5 for score in found.faces[0].scores)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found.date)


# -- quality and provenance ---------------------------------------------------------------------


def test_quality_is_of_each_face_and_of_the_file():
    file = BytesIO()
    Image.fromarray(grainy()).save(file, "JPEG", quality=44)
    detector = Found(Box(0, 0, 50, 60), FACE)
    found = analyse(file.getvalue(), models=[Grain()], detector=detector)
    small, large = (face.quality for face in found.faces)
    assert small is not None and large is not None
    assert (small.face_side, large.face_side) == (50, 100)
    assert small.jpeg_quality == large.jpeg_quality == 44
    assert small.familiarity is None
    assert "only 50 pixels" in small.warnings[0]
    assert ["quality about 44" in warning for warning in large.warnings] == [True]
    assert large.warnings[0] in small.warnings


def test_familiarity_is_that_of_the_first_model():
    def known(distances: list[float]) -> Reference:
        return Reference(
            np.zeros(3, np.float32),
            np.ones(3, np.float32),
            np.eye(3, 1, dtype=np.float32),
            np.ones(1, np.float32),
            1.0,
            np.array(distances, np.float32),
        )

    first, second = Grain("a"), Grain("b")
    first.reference, second.reference = known([0.0, 0.0, 0.0, 1e9]), known([0.0])
    image = np.concatenate([grainy(), np.full_like(grainy(), 255)], axis=1)
    detector = Found(FACE, Box(320, 60, 100, 110))
    found = analyse(png(image), models=[first, second], detector=detector)
    assert [face.quality.familiarity for face in found.faces if face.quality] == [0.25, 0.25]
    first.reference = known([0.0, 5.0])
    found = analyse(png(image), models=[first, second], detector=detector)
    assert [face.quality.familiarity for face in found.faces if face.quality] == [0.5, 0.0]
    assert "unlike those" in found.faces[1].quality.warnings[-1]
    found = analyse(png(image), models=[second, first], detector=detector)
    assert [face.quality.familiarity for face in found.faces if face.quality] == [0.0, 0.0]


def test_provenance_never_changes_a_score():
    text = {"parameters": "a portrait\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1"}
    image = grainy()
    plain, marked, unasked = (
        analyse(data, models=[Grain()], detector=Found(FACE), provenance=asked)
        for data, asked in ((png(image), True), (png(image, **text), True), (png(image), False))
    )
    assert plain.provenance == unasked.provenance == ()
    assert [finding.says for finding in marked.provenance] == ["ai"]
    assert timeless(marked)["faces"] == timeless(plain)["faces"] == timeless(unasked)["faces"]


def test_provenance_is_told_without_a_face_too():
    text = {"parameters": "a portrait\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1"}
    found = analyse(png(grainy(), **text), models=[Grain()], detector=Found())
    assert found.status is Status.NO_FACE
    assert len(found.provenance) == 1


# -- the same answer everywhere -----------------------------------------------------------------


def timeless(analysis: Analysis | dict) -> dict:
    """The JSON without what differs between two runs on the same bytes."""
    found = json.loads(json.dumps(analysis if isinstance(analysis, dict) else to_dict(analysis)))
    del found["date"], found["file"]
    for face in found["faces"]:
        for answer in face["models"].values():
            del answer["seconds"]
    return found


@pytest.fixture
def model(untrained) -> Model:
    from fakeface.models import checkpoints

    return checkpoints.load("untrained", device="cpu")


def test_every_way_in_gives_the_same_answer(model, haar, portrait, tmp_path, capsys):
    path = tmp_path / "portrait.jpg"
    path.write_bytes(portrait)
    from fakeface.images import decoder as images

    asked = {"models": [model], "detector": haar}
    wanted = timeless(analyse(portrait, **asked))
    assert wanted["faces"][0]["models"]["untrained"]["variants"]
    assert timeless(analyse_file(path, **asked)) == wanted
    picture = images.read_picture(portrait, "portrait.jpg")
    assert timeless(analyse(picture, **asked)) == wanted
    with_maps = timeless(analyse(portrait, explain=True, **asked))
    for face in with_maps["faces"]:
        assert face["models"]["untrained"].pop("heatmap")["faithfulness"] is None
        face["models"]["untrained"]["heatmap"] = None
    assert with_maps == wanted
    cli.main(["analyse", str(path), "--json", "--detector", "haar", "--device", "cpu"])
    assert timeless(json.loads(capsys.readouterr().out)) == wanted
    ((_, _, _, faces, p_fake, verdict, *_),) = rows(analyse_file(path, **asked))
    assert (faces, p_fake) == (1, round(wanted["p_fake"], 4))
    assert verdict == wanted["verdict"]


def test_faithfulness_is_measured_where_asked_for(model, haar, portrait):
    found = analyse(portrait, models=[model], detector=haar, faithful=True)
    (heatmap,) = found.faces[0].heatmaps
    assert heatmap.faithfulness is not None and -1 <= heatmap.faithfulness <= 1
    assert heatmap.random is not None and -1 <= heatmap.random <= 1


def test_threads_may_share_models(model, haar, portrait):
    other = Image.open(BytesIO(portrait)).transpose(Image.Transpose.ROTATE_180)
    inputs = [portrait, png(np.asarray(other)), png(grainy())]
    detector = Found(Box(150, 60, 150, 200))
    wanted = [analyse(data, models=[model], detector=detector, explain=True) for data in inputs]
    wrong: list[str] = []

    def work(turn: int) -> None:
        for i in range(len(inputs)):
            at = (i + turn) % len(inputs)
            got = analyse(inputs[at], models=[model], detector=detector, explain=turn % 2 == 0)
            for a, b in zip(got.faces, wanted[at].faces, strict=True):
                if not close(a.scores[0], b.scores[0]):
                    wrong.append(f"score {at}")
                if a.heatmaps and not np.allclose(
                    a.heatmaps[0].values, b.heatmaps[0].values, atol=1e-3
                ):
                    wrong.append(f"map {at}")

    def close(a: Score, b: Score) -> bool:
        own, other = ([s.p_fake, *(v.p_fake for v in s.variants)] for s in (a, b))
        return len(own) == len(other) and np.allclose(own, other, atol=1e-4)

    threads = [threading.Thread(target=work, args=(turn,)) for turn in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_no_model_and_no_picture(tmp_path: Path):
    with pytest.raises(ValueError, match="at least one model"):
        analyse(png(grainy()), models=[], detector=Found())
    found = analyse_file(tmp_path / "absent.jpg", models=[Grain()], detector=Found(FACE))
    assert (found.status, found.provenance, found.sha256) == (Status.UNREADABLE, (), "")
    assert found.date
    assert dataclasses.replace(found, error=None).verdict is None


def test_the_arguments_of_0_8_0_are_accepted_with_a_warning(model, haar, portrait):
    from fakeface.images import decoder as images

    asked = {"models": [model], "detector": haar, "file": "portrait.jpg"}
    wanted = analyse(portrait, **asked)
    pixels = images.decode(portrait)
    with pytest.warns(DeprecationWarning, match=r"image will go in 0\.11\.0"):
        first = analyse(portrait, image=pixels, **asked)
    with pytest.warns(DeprecationWarning, match=r"data and image will go in 0\.11\.0"):
        second = analyse(data=portrait, image=pixels, **asked)
    with pytest.warns(DeprecationWarning, match=r"data will go in 0\.11\.0"):
        third = analyse(data=portrait, **asked)
    for found in (first, second, third):
        assert timeless(found) == timeless(wanted)
        assert found.file == wanted.file == "portrait.jpg"


def test_a_picture_is_read_once_and_never_from_its_name(model, haar, portrait, monkeypatch):
    from fakeface.images import decoder as images

    picture = images.read_picture(portrait, "/no/such/file.jpg")
    monkeypatch.setattr(images, "decode", lambda data: pytest.fail("read again"))
    found = analyse(picture, models=[model], detector=haar)
    assert (found.file, found.sha256) == ("/no/such/file.jpg", picture.sha256)
    assert found.status is Status.OK


def test_the_analysis_says_of_its_models_what_a_report_needs(model, haar, portrait):
    (judge,) = analyse(portrait, models=[model], detector=haar).judges
    assert (judge.title, judge.terms) == (model.card.title, model.card.terms)


def test_bytes_that_are_no_picture_are_told_as_a_file_is(model, haar, tmp_path):
    (tmp_path / "text.jpg").write_bytes(b"no picture")
    found = read_or_report(lambda: b"no picture", "text.jpg", [model.name])
    assert isinstance(found, Analysis)
    other = analyse_file(tmp_path / "text.jpg", models=[model], detector=haar)
    assert found.status is other.status is Status.UNREADABLE
    assert found.error == other.error
    assert found.sha256 == other.sha256 == hashlib.sha256(b"no picture").hexdigest()
    assert found.file == "text.jpg"
