"""What is measured of a model: which pictures, which verdicts, and that nothing is scored twice."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from fakeface.models import checkpoints
from fakeface.models.calibrate import Calibration
from fakeface.types import Box, Face, Verdict
from tests.conftest import random_network
from tests.pools import write_manifest
from train import evaluate
from train.datasets.records import Record, SourceError, only
from train.datasets.sets import SETS, check_classes, choose
from train.evaluation import scores
from train.evaluation.inference import quick_logits
from train.evaluation.measure import measure
from train.evaluation.reencoding import TIERS, measure_reencoded
from train.evaluation.scored import Scored, find_flips
from train.evaluation.scores import Scores
from train.evaluation.store import read_json, write_json


def record(name: str, **changes) -> Record:
    digest = hashlib.sha256(name.encode()).hexdigest()
    plain = Record(Path(name), 0, "test", "photo", "s", "f", name, digest)
    return dataclasses.replace(plain, **changes)


def logit(p: float) -> float:
    return math.log(p / (1 - p))


# -- which pictures -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pool() -> list[Record]:
    fake = {"label": 1, "kind": "generated"}
    return [
        record("photo", source="ffhq_140k"),
        record("stylegan", source="stylegan1_140k", **fake),
        record("flux", source="flux", **fake),
        record("clip", source="dfdc"),
        record("swap", source="dfdc", label=1, kind="swap"),
        record("val photo", split="val"),
        record("val fake", split="val", **fake),
        record("val swap", split="val", label=1, kind="swap"),
        record("stranger", split="test_wild"),
        record("headshot", split="test_wild", **fake),
        record("sd3", split="test_wild", source="faker_sd3", **fake),
        record("wild swap", split="test_wild", label=1, kind="swap"),
        record("frame", source="wilddeepfake"),
        record("unsplash", split="test_unseen"),
    ]


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("val", ["val photo", "val fake"]),
        ("test", ["photo", "stylegan", "flux", "clip", "frame"]),
        ("pair_140k", ["photo", "stylegan"]),
        ("swaps", ["clip", "swap"]),
        ("wilddeepfake", ["frame"]),
        ("test_unseen", ["unsplash"]),
        ("wild_generated", ["stranger", "headshot"]),
        ("sd3", ["stranger", "sd3"]),
        ("wild_swaps", ["stranger", "wild swap"]),
    ],
)
def test_each_set_holds_what_it_says(pool, name, held):
    assert [r.path.name for r in choose(pool, name)] == held


def test_swaps_are_val_where_there_are_no_other_fakes(pool):
    rest = [r for r in pool if r.path.name != "val fake"]
    assert [r.path.name for r in choose(rest, "val")] == ["val photo", "val swap"]


def test_every_set_was_looked_at():
    assert set(SETS) == {
        "val", "calibration", "test", "pair_140k", "swaps", "wilddeepfake", "test_unseen",
        "wild_generated", "sd3", "wild_swaps",
    }  # fmt: skip


def test_the_parts_of_val_share_no_group():
    fake = {"label": 1, "kind": "generated"}
    val = [
        record(f"{i}{kind}", split="val", group=f"g{i}", **changes)
        for i in range(200)
        for kind, changes in (("photo", {}), ("fake", fake))
    ]
    chosen, calibrated = choose(val, "choice"), choose(val, "calibration")
    assert len(chosen) + len(calibrated) == len(val)
    assert not {r.group for r in chosen} & {r.group for r in calibrated}
    assert 150 < len(chosen) < 250


def test_only_some_sources(pool):
    assert {r.source for r in only(pool, ["flux", "dfdc"])} == {"flux", "dfdc"}
    assert len(only(pool, ["dfdc"])) == 2
    with pytest.raises(SourceError, match="no source 'fluks'"):
        only(pool, ["fluks"])


def test_a_set_of_one_class_is_refused(pool):
    with pytest.raises(SourceError, match="test_unseen has no fakes"):
        check_classes(choose(pool, "test_unseen"), "test_unseen")


# -- what is said of them -------------------------------------------------------------------------

HOW = Calibration(2.0, 0.3, 0.8)


def scored(p_fake: list[float], records: list[Record], copies: tuple[list[float], ...] = ()):
    """Pictures of these calibrated probabilities; logits are twice as far out as they look."""
    return Scored(
        records,
        np.array([2 * logit(p) for p in p_fake]),
        HOW,
        tuple(np.array([2 * logit(p) for p in copy]) for copy in copies),
    )


@pytest.fixture
def six() -> list[Record]:
    return [
        record("a", source="x"), record("b", source="x"), record("c", source="y"),
        record("d", source="g", label=1),
        record("e", source="g", label=1, generator="g2"),
        record("f", source="h", label=1),
    ]  # fmt: skip


def test_the_numbers_of_a_case_counted_by_hand(six):
    found = measure(scored([0.1, 0.9, 0.5, 0.95, 0.2, 0.7], six), no_face=4)
    assert (found["n_real"], found["n_fake"], found["no_face"]) == (3, 3, 4)
    # Pairs: 0.95 beats all three, 0.2 beats 0.1, 0.7 beats 0.1 and 0.5.
    assert found["auc"]["value"] == pytest.approx(6 / 9)
    # Right at 0.5: 0.1, 0.95, 0.7; 0.5 counts as fake.
    assert found["accuracy"] == pytest.approx(3 / 6)
    assert found["balanced_accuracy"] == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert found["verdicts_on_real"] == pytest.approx(
        {"AI-generated": 1 / 3, "real": 1 / 3, "unsure": 1 / 3}
    )
    assert found["verdicts_on_fake"] == pytest.approx(
        {"AI-generated": 1 / 3, "real": 1 / 3, "unsure": 1 / 3}
    )
    by_source = found["real_by_source"]
    assert (by_source["x"]["value"], by_source["x"]["n"]) == (0.5, 2)
    assert (by_source["y"]["value"], by_source["y"]["n"]) == (0.0, 1)
    assert found["fake_by_source"]["g"]["value"] == 0.5
    # A source that names its generators is told apart by them, too.
    by_generator = found["fake_by_generator"]
    assert {name: share["value"] for name, share in by_generator.items()} == {
        "g": 1.0, "g2": 0.0, "h": 0.0,
    }  # fmt: skip
    # Answered: 0.1, 0.9 (wrong), 0.95, 0.2 (wrong).
    assert found["risk"]["coverage"] == pytest.approx(4 / 6)
    assert found["risk"]["wrong"] == pytest.approx(2 / 4)
    # Without the temperature the same logits are surer.
    assert found["ece_uncalibrated"] != found["ece"]
    assert "by_sequence" not in found and "settled" not in found
    # What the page tells: which photographs are flagged, and what a p(fake) was worth.
    assert found["false_positive_rate"]["value"] == pytest.approx(1 / 3)
    assert found["true_positive_rate"]["value"] == pytest.approx(1 / 3)
    assert found["real_by_family"]["f"] == found["false_positive_rate"]
    bins = {row["low"]: (row["n"], row["fake"]) for row in found["reliability"]}
    assert bins == {0.1: (1, 0), 0.2: (1, 1), 0.5: (1, 0), 0.7: (1, 1), 0.9: (2, 1)}


def test_a_verdict_that_a_copy_turns_round_is_unsure(six):
    p_fake = [0.1, 0.9, 0.5, 0.95, 0.2, 0.9]
    first, second = [0.1, 0.2, 0.9, 0.5, 0.9, 0.95], [0.2, 0.9, 0.9, 0.9, 0.2, 0.9]
    case = scored(p_fake, six, (first, second))
    real, fake, unsure = Verdict.REAL, Verdict.FAKE, Verdict.UNSURE
    assert case.settle().tolist() == [real, unsure, unsure, fake, unsure, fake]
    found = measure(case)
    assert found["settled"]["became_unsure"] == pytest.approx(2 / 6)
    assert found["settled"]["verdicts_on_real"]["AI-generated"] == 0.0
    assert found["verdicts_on_real"]["AI-generated"] == pytest.approx(1 / 3)


def test_a_copy_without_a_score_turns_nothing_round(six):
    case = scored([0.9] * 6, six)
    case = dataclasses.replace(case, copies=(np.full(6, np.nan),))
    assert set(case.settle()) == {Verdict.FAKE}


def test_unsure_is_no_flip():
    real, fake, unsure = Verdict.REAL, Verdict.FAKE, Verdict.UNSURE
    before = np.array([real, fake, real, unsure, fake], object)
    after = np.array([fake, real, unsure, fake, fake], object)
    assert find_flips(before, after).tolist() == [True, True, False, False, False]


def test_frames_of_a_sequence_are_judged_together():
    frames = [
        record(f"{take}{i}", group=take, sequence=take, label=int(take in "cd"))
        for take in "abcd"
        for i in range(2)
    ]
    # Each frame by itself is half wrong; the mean logit of each take is right.
    logits = np.array([3.0, -5, 3, -5, -3, 5, -3, 5])
    found = measure(Scored(frames, logits, Calibration(1.0, 0.3, 0.7)))
    assert found["accuracy"] == 0.5
    together = found["by_sequence"]
    assert (together["n_real"], together["n_fake"]) == (2, 2)
    assert together["accuracy"] == 1.0
    assert together["auc"]["value"] == 1.0


def test_reencoded_pictures_are_held_against_themselves(six, tmp_path):
    case = scored([0.1, 0.2, 0.25, 0.95, 0.9, 0.85], six, ([0.1, 0.9, 0.2, 0.9, 0.9, 0.9],))
    kept = Scores(tmp_path / "s.csv")
    after = [0.9, 0.9, None, 0.95, 0.9, 0.6]  # two photographs turn, one loses its face
    for tier in TIERS:
        kept.add((r.sha256, tier, None if p is None else 2 * logit(p)) for r, p in zip(six, after))
    found = measure_reencoded(case, kept)["half the size"]
    assert found["no_face"] == 1
    assert found["auc_before"]["value"] == 1.0
    # Of two photographs and three fakes: 0.95 beats both, 0.9 ties with both, 0.6 beats none.
    assert found["auc"]["value"] == pytest.approx((2 + 1 + 0) / 6)
    assert (found["accuracy_before"], found["accuracy"]) == (1.0, 3 / 5)
    assert found["flips"] == pytest.approx(2 / 5)
    assert found["flips_settled"] == pytest.approx(1 / 5)  # one of them had become unsure


# -- the scores -----------------------------------------------------------------------------------


def test_scores_survive_a_kill_in_the_middle_of_a_line(tmp_path):
    path = tmp_path / "runs" / "scores.csv"
    Scores(path).add([("a", "clean", 1.25), ("b", "size, half", None)])
    whole = path.read_text()
    path.write_text(whole + "c,clean,0.3")
    again = Scores(path)
    assert again.known == {("a", "clean"): 1.25, ("b", "size, half"): None}
    again.add([("d", "clean", -0.1)])
    assert path.read_text() == whole + "d,clean,-0.1\n"
    assert Scores(path).known == again.known


def test_what_is_known_of_records(tmp_path):
    a, b, c = record("a"), record("b"), record("c")
    kept = Scores(tmp_path / "s.csv")
    kept.add([(a.sha256, "clean", 2.0), (b.sha256, "clean", None)])
    found, logits = kept.of([a, b, c])
    assert found.tolist() == [True, False, False]
    assert logits[0] == 2.0 and np.isnan(logits[1:]).all()


def test_quick_logits_are_the_models_own(untrained):
    model = checkpoints.load("untrained", device="cpu")
    x = torch.randn(5, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    own = model.logits(x)
    assert quick_logits(model, 3)(x) == pytest.approx(own) and model.engine == "torch"
    assert quick_logits(model, 1000)(x) == pytest.approx(own, abs=1e-3)
    assert model.engine == "openvino"


# -- the command ----------------------------------------------------------------------------------


class Middle:
    """A face in the middle of every picture that is large enough."""

    name = "yunet"

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, image):
        self.calls += 1
        height, width = image.shape[:2]
        if min(height, width) < 40:
            return ()
        return (Face(Box(width // 4, height // 4, width // 2, height // 2)),)

    def smallest(self, image):
        return 1


@pytest.fixture
def manifest(tmp_path) -> Path:
    """Twenty drawn pictures of val and test; two are too small for a face at half their size."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(20):
        label = ("real", "fake")[i % 2]
        side = 100 if i in (16, 17) else 200
        picture = rng.integers(0, 90, (side, side, 3), np.uint8)
        picture[..., 2 * (i % 2)] += 120
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
        digest = hashlib.sha256((tmp_path / f"{i}.png").read_bytes()).hexdigest()
        rows.append(
            {"file": f"{i}.png", "label": label, "split": "val" if i < 8 else "test",
             "kind": "generated" if i % 2 else "photo", "source": f"{label}s", "family": "f",
             "group": str(i), "sha256": digest}
        )  # fmt: skip
    return write_manifest(tmp_path, rows)


@pytest.fixture
def middle(tmp_path, monkeypatch) -> Middle:
    detector = Middle()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluate, "open_detector", lambda name: detector)
    return detector


@pytest.mark.slow
def test_a_model_is_measured_and_its_scores_are_kept(untrained, manifest, middle, monkeypatch):
    command = ["untrained", "--data", str(manifest), "--sets", "val", "test", "--reencode"]
    evaluate.main(command)
    folder = untrained / "untrained"
    first = (folder / "metrics.json").read_text()
    metrics = json.loads(first)
    assert metrics["sets"]["val"]["n_real"] == metrics["sets"]["val"]["n_fake"] == 4
    assert metrics["reencoded"]["half the size"]["no_face"] == 2
    assert metrics["reencoded"]["twice the size"]["no_face"] == 0
    assert "settled" in metrics["sets"]["test"] and "settled" not in metrics["sets"]["val"]
    assert metrics["sets"]["test"]["real_by_source"]["reals"]["n"] == 6
    # The card has the gist of it, and the curve of the page's dial.
    card = checkpoints.read_card(folder)
    assert card.metrics["sets"]["val"]["auc"] == metrics["sets"]["val"]["auc"]
    assert len(card.metrics["sets"]["val"]["curve"]["p_fake"]) >= 8
    assert "real_by_source" not in card.metrics["sets"]["val"]
    assert card.metrics["sets"]["test"]["real_by_family"]["f"]["n"] == 6
    assert sum(row["n"] for row in card.metrics["sets"]["test"]["reliability"]) == 12
    for name in ("roc", "reliability", "scores", "risk"):
        with Image.open(folder / "plots" / f"{name}.png") as plot:
            assert min(plot.size) > 150
        assert (folder / "plots" / f"{name}.png").stat().st_size < 40_000
    # What shows people stays in runs/.
    assert sorted(p.name for p in Path("runs/mistakes").iterdir()) == [
        "untrained-test.png", "untrained-val.png",
    ]  # fmt: skip

    # A second time nothing is detected or scored, and all comes out the same.
    calls = middle.calls
    monkeypatch.setattr(scores, "quick_logits", lambda *_: pytest.fail("scored again"))
    evaluate.main(command)
    assert middle.calls == calls
    assert (folder / "metrics.json").read_text() == first

    # Results with Haar stand beside the others, and change nothing else.
    monkeypatch.undo()
    monkeypatch.setattr(evaluate, "open_detector", lambda name: middle)
    monkeypatch.setenv("FAKEFACE_CHECKPOINTS", str(untrained))
    monkeypatch.chdir(manifest.parent)
    middle.name = "haar"
    evaluate.main([*command[:5], "--detector", "haar"])
    after = read_json(folder / "metrics.json")
    assert after.pop("haar")["command"].endswith("--sets val --detector haar")
    assert after == metrics
    again = checkpoints.read_card(folder)
    assert dataclasses.replace(again, files=card.files) == card  # they name the new metrics.json
    assert again.files["metrics.json"] != card.files["metrics.json"]


@pytest.mark.slow
def test_scores_are_those_of_the_model_one_by_one(untrained, manifest, middle):
    evaluate.main(["untrained", "--data", str(manifest), "--sets", "val"])
    (path,) = Path("runs/scores").iterdir()
    model = checkpoints.load("untrained", device="cpu")
    for (sha256, _), value in Scores(path).known.items():
        (file,) = [
            p for p in manifest.parent.glob("*.png")
            if hashlib.sha256(p.read_bytes()).hexdigest() == sha256
        ]  # fmt: skip
        image = np.array(Image.open(file))
        box = middle.detect(image)[0].box
        assert value == pytest.approx(float(model.logits(model.tensor(image, [box]))[0]), abs=1e-3)


@pytest.mark.slow
def test_a_run_is_measured_without_being_exported(untrained, manifest, middle, tmp_path):
    folder = tmp_path / "runs" / "pair"
    folder.mkdir(parents=True)
    network = random_network("mobilenetv2_100")
    safetensors.torch.save_file(network.state_dict(), folder / "best.safetensors")
    about = {
        "recipe": {"backbone": "mobilenetv2_100", "size": 96, "margin": 0.3},
        "command": "python -m train.finetune pair", "data": "0" * 16, "pictures": 10,
        "photographs": 4, "families_of_fakes": ["stylegan"],
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(about))
    evaluate.main(["--run", "runs/pair", "--data", str(manifest), "--sets", "test"])
    found = read_json(Path("results/cross_dataset/pair.json"))
    assert found["training"]["families_of_fakes"] == ["stylegan"]
    assert 0 <= found["sets"]["test"]["auc"]["value"] <= 1
    assert [card.name for card in checkpoints.installed()] == ["untrained"]


def test_a_name_or_a_run_must_be_given(capsys):
    with pytest.raises(SystemExit):
        evaluate.main(["--data", "x.csv"])
    assert "--run" in capsys.readouterr().err


def test_json_reads_well_and_comes_back(tmp_path):
    content = {"a": {"b": [0.1234567, 1], "c": {"d": "x [y] {z}", "e": None}}, "f": []}
    write_json(tmp_path / "deep" / "x.json", content)
    text = (tmp_path / "deep" / "x.json").read_text()
    assert '"b": [ 0.12346, 1 ]' in text
    assert read_json(tmp_path / "deep" / "x.json")["a"]["c"]["d"] == "x [y] {z}"
    assert read_json(tmp_path / "absent.json") == {}
