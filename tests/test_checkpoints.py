"""A model folder is either exactly what its card says, or a clear error."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pickle

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from fakeface.files import write_through
from fakeface.models import checkpoints
from fakeface.models.card import read_metrics
from fakeface.models.out_of_distribution import Reference
from fakeface.types import CheckpointDamaged, CheckpointMismatch, CheckpointMissing
from tests.conftest import card, random_network


def edit(root, **changes):
    path = root / "untrained" / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def reseal(root, state):
    """Other weights, with the checksum that goes with them."""
    data = safetensors.torch.save(state)
    (root / "untrained" / "model.safetensors").write_bytes(data)
    edit(root, sha256=hashlib.sha256(data).hexdigest(), files={})


def weights(root):
    return safetensors.torch.load_file(root / "untrained" / "model.safetensors")


def test_what_was_saved_comes_back(untrained):
    model = checkpoints.load("untrained", device="cpu")
    x = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    network = random_network("mobilenetv2_100").half().float()
    with torch.inference_mode():
        wanted = ((network(x) + network(x.flip(3))) / 2).flatten().numpy()
    assert model.logits(x) == pytest.approx(wanted, abs=1e-4)
    assert model.logits(x.flip(3)) == pytest.approx(model.logits(x), abs=1e-5), "a mirror image"
    assert model.card == checkpoints.read_card(untrained / "untrained")
    assert model.preprocessing == card("x").preprocessing
    assert model.calibration == card("x").calibration
    assert all(v.dtype == torch.float16 for v in weights(untrained).values())


def test_the_card_reads_back_as_written(untrained):
    (only,) = checkpoints.installed()
    assert only.labels == ("real", "fake")
    assert only == checkpoints.read_card(untrained / "untrained")


def test_one_flipped_byte_is_found(untrained):
    path = untrained / "untrained" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointDamaged, match="checksum"):
        checkpoints.load("untrained")


def test_a_pickle_is_never_opened(untrained, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    data = pickle.dumps(Trap())
    (untrained / "untrained" / "model.safetensors").write_bytes(data)
    edit(untrained, sha256=hashlib.sha256(data).hexdigest(), files={})
    with pytest.raises(CheckpointDamaged, match="safetensors"):
        checkpoints.load("untrained")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda s: {k: v for k, v in s.items() if k != "conv_stem.weight"},
        lambda s: {**s, "stray.weight": torch.zeros(1)},
        lambda s: {**s, "classifier.weight": torch.zeros(2, 1280)},
    ],
    ids=["missing", "unknown", "another shape"],
)
def test_tensors_that_do_not_fit_are_refused(untrained, change):
    reseal(untrained, change(weights(untrained)))
    with pytest.raises(CheckpointMismatch, match="does not fit"):
        checkpoints.load("untrained")


@pytest.mark.parametrize("name", ["absent", "", "..", "../untrained", "a/b", "/etc"])
def test_a_name_that_is_no_model(untrained, name):
    with pytest.raises(CheckpointMissing, match="model"):
        checkpoints.load(name)


def test_weights_that_are_missing(untrained):
    (untrained / "untrained" / "model.safetensors").unlink()
    with pytest.raises(CheckpointMissing, match="weights"):
        checkpoints.load("untrained")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"backbone": "vgg16"}, CheckpointMismatch),
        ({"labels": ["fake", "real"]}, CheckpointMismatch),
        ({"name": "another"}, CheckpointDamaged),
        ({"surprise": 1}, CheckpointDamaged),
        ({"preprocessing": {}}, CheckpointDamaged),
        (
            {"calibration": {"temperature": 0, "real_below": 0.1, "fake_above": 0.9}},
            CheckpointDamaged,
        ),
    ],
)
def test_a_card_that_says_something_else(untrained, change, error):
    edit(untrained, **change)
    with pytest.raises(error):
        checkpoints.load("untrained")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00"])
def test_a_card_that_is_no_card(untrained, text):
    (untrained / "untrained" / "card.json").write_text(text)
    with pytest.raises(CheckpointDamaged, match=r"untrained/card\.json is damaged"):
        checkpoints.load("untrained")


LIMITS = {"temperature": 1.0, "real_below": 0.1, "fake_above": 0.9}
HOW = {"size": 96, "margin": 0.3, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": 7}, "title"),
        ({"surprise": 1}, "surprise"),
        ({"calibration": {**LIMITS, "temperature": 0}}, "calibration.temperature"),
        ({"calibration": {**LIMITS, "temperature": float("inf")}}, "calibration.temperature"),
        ({"calibration": {**LIMITS, "temperature": float("nan")}}, "calibration.temperature"),
        ({"calibration": {**LIMITS, "temperature": "1"}}, "calibration.temperature"),
        ({"calibration": {**LIMITS, "offset": float("nan")}}, "calibration.offset"),
        ({"calibration": {**LIMITS, "real_below": -0.1}}, "calibration.real_below"),
        ({"calibration": {**LIMITS, "fake_above": 1.1}}, "calibration.fake_above"),
        ({"calibration": {**LIMITS, "real_below": 0.95}}, "calibration"),
        ({"calibration": {**LIMITS, "dial": 1}}, "calibration.dial"),
        ({"preprocessing": {**HOW, "size": 0}}, "preprocessing.size"),
        ({"preprocessing": {**HOW, "size": 10**9}}, "preprocessing.size"),
        ({"preprocessing": {**HOW, "margin": -1}}, "preprocessing.margin"),
        ({"preprocessing": {**HOW, "mean": [0.5, 0.5]}}, "preprocessing.mean.2"),
        ({"preprocessing": {**HOW, "std": [0.5, 0.5, 0]}}, "preprocessing.std.2"),
        ({"labels": ["real"]}, "labels.1"),
        ({"sha256": "../../etc/passwd"}, "sha256"),
        ({"files": {"metrics.json": "5E" * 32}}, "files.metrics.json"),
        ({"training": []}, "training"),
        ({"metrics": None}, "metrics"),
        ({"metrics": {"sets": {"val": {"auc": {"value": 2}}}}}, "metrics.sets.val.auc.value"),
        (
            {"metrics": {"sets": {"val": {"curve": {"p_fake": []}}}}},
            "metrics.sets.val.curve.p_fake",
        ),
    ],
)
def test_a_wrong_field_is_named(untrained, change, field):
    edit(untrained, **change)
    with pytest.raises(CheckpointDamaged) as error:
        checkpoints.load("untrained")
    sentence = str(error.value)
    assert f"untrained/card.json is damaged (field {field}: " in sentence
    assert sentence.endswith("; install the model again.")
    assert sentence.count(". ") == 0, "one sentence"


def test_a_missing_field_is_named(untrained):
    path = untrained / "untrained" / "card.json"
    fields = json.loads(path.read_text())
    del fields["title"]
    path.write_text(json.dumps(fields))
    with pytest.raises(CheckpointDamaged, match="field title: "):
        checkpoints.load("untrained")


def test_a_card_of_0_8_0_loads(untrained):
    path = untrained / "untrained" / "card.json"
    fields = json.loads(path.read_text())
    del fields["files"], fields["calibration"]["offset"]
    path.write_text(json.dumps(fields))
    model = checkpoints.load("untrained", device="cpu")
    assert model.card.files == {}
    assert model.calibration.offset == 0


# -- one damaged model is no other's trouble ----------------------------------------------------


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "bad", "metrics": {"sets": 3}}'])
def test_a_damaged_card_costs_that_model_alone(untrained, text, caplog):
    (untrained / "bad").mkdir()
    (untrained / "bad" / "card.json").write_text(text)
    assert [card.name for card in checkpoints.installed()] == ["untrained"]
    assert checkpoints.default() == "untrained"
    assert checkpoints.load("untrained").name == "untrained"
    (problem,) = checkpoints.broken().values()
    assert "bad/card.json" in str(problem)
    assert caplog.messages == [str(problem)], "said once, however often it is asked for"
    with pytest.raises(CheckpointDamaged):
        checkpoints.load("bad")


def test_a_card_of_a_later_version_costs_that_model_alone(untrained):
    checkpoints.save(untrained / "next", random_network("mobilenetv2_100"), card("next"))
    path = untrained / "next" / "card.json"
    path.write_text(path.read_text().replace('"mobilenetv2_100"', '"vit_giant"'))
    assert [card.name for card in checkpoints.installed()] == ["untrained"]
    assert isinstance(checkpoints.broken()["next"], CheckpointMismatch)


def test_where_every_model_is_damaged_the_reason_is_said(untrained):
    (untrained / "untrained" / "card.json").write_text("{}")
    assert checkpoints.installed() == ()
    with pytest.raises(CheckpointDamaged, match=r"card\.json is damaged"):
        checkpoints.default()


# -- the checksums of all files -----------------------------------------------------------------


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_card_names_every_file_that_is_read_with_the_model(untrained):
    folder = untrained / "untrained"
    (folder / "metrics.json").write_text('{"command": "measured"}')
    (folder / "notes.txt").write_text("is not read")
    written = checkpoints.write_reference(folder, checkpoints.read_card(folder), reference())
    assert written == checkpoints.read_card(folder)
    names = ("model.safetensors", "reference.safetensors", "metrics.json")
    assert written.files == {name: sha256(folder / name) for name in names}
    assert written.files["model.safetensors"] == written.sha256
    assert not list(folder.glob("*.part"))


def test_measurements_with_another_checksum_are_refused(untrained):
    folder = untrained / "untrained"
    (folder / "metrics.json").write_text('{"command": "measured"}')
    known = checkpoints.write_card(folder, checkpoints.read_card(folder))
    assert read_metrics(folder, known) == {"command": "measured"}
    (folder / "metrics.json").write_text('{"command": "improved"}')
    with pytest.raises(CheckpointDamaged, match=r"metrics\.json does not have the checksum"):
        read_metrics(folder, known)
    assert checkpoints.load("untrained").name == "untrained"


def test_a_card_whose_checksums_disagree_is_damaged(untrained):
    files = {"model.safetensors": "5e" * 32}
    edit(untrained, files=files)
    with pytest.raises(CheckpointDamaged, match="two checksums"):
        checkpoints.load("untrained")


def test_a_full_disk_leaves_the_old_model(untrained, monkeypatch):
    folder = untrained / "untrained"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fill_up(path, data):
        if path.name.startswith("card.json"):
            path.write_bytes(data[:9])
            raise OSError(28, "No space left on device")
        write_through(path, data)

    monkeypatch.setattr(checkpoints, "write_through", fill_up)
    other = random_network("mobilenetv2_100")
    torch.nn.init.zeros_(other.get_submodule("classifier").weight)
    with pytest.raises(OSError, match="No space"):
        checkpoints.save(folder, other, card("untrained"))
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_default_is_the_best_on_val(untrained):
    measured = {"sets": {"val": {"auc": {"value": 0.9}}}}
    better = dataclasses.replace(card("better"), metrics=measured)
    checkpoints.save(untrained / "better", random_network("mobilenetv2_100"), better)
    assert checkpoints.default() == "better"


def test_no_model_at_all(tmp_path):
    assert checkpoints.installed(tmp_path) == ()
    with pytest.raises(CheckpointMissing, match="No model is installed"):
        checkpoints.default(tmp_path)


# -- what a model learnt from -------------------------------------------------------------------


WIDTH = 112  # the style of MobileNetV2: two numbers for each of 24 and 32 channels


def reference(width: int = WIDTH) -> Reference:
    rng = np.random.default_rng(0)
    return Reference(
        mean=rng.normal(size=width).astype(np.float32),
        scale=rng.uniform(1, 2, size=width).astype(np.float32),
        directions=np.linalg.qr(rng.normal(size=(width, 4)))[0].astype(np.float32),
        variances=np.array([4, 3, 2, 1], np.float32),
        rest=0.1,
        distances=np.arange(1, 6, dtype=np.float32),
    )


def test_a_reference_comes_back_with_its_model(untrained):
    assert checkpoints.load("untrained").reference is None
    folder = untrained / "untrained"
    checkpoints.write_reference(folder, checkpoints.read_card(folder), reference())
    model = checkpoints.load("untrained", device="cpu")
    assert model.sha256 == checkpoints.read_card(folder).sha256
    assert model.reference is not None
    for name in Reference.__slots__:
        assert getattr(model.reference, name) == pytest.approx(getattr(reference(), name), rel=1e-6)
    _, style = model.forward(torch.zeros(2, 3, 96, 96))
    assert model.reference.distance(style).shape == (2,)


def test_a_reference_of_other_weights_is_left_out(untrained, caplog):
    folder = untrained / "untrained"
    known = checkpoints.read_card(folder)
    checkpoints.write_reference(folder, dataclasses.replace(known, sha256="0" * 64), reference())
    edit(untrained, sha256=known.sha256, files={})
    with pytest.raises(CheckpointMismatch, match="other weights"):
        checkpoints.read_reference(folder, checkpoints.read_card(folder))
    assert checkpoints.load("untrained").reference is None
    known = checkpoints.write_reference(folder, known, reference(7))
    with pytest.raises(CheckpointMismatch, match="7 numbers on a face"):
        checkpoints.read_reference(folder, known, width=WIDTH)
    assert checkpoints.load("untrained").reference is None
    assert "other weights" in caplog.messages[0] and "7 numbers on a face" in caplog.messages[1]


def test_new_weights_do_away_with_the_reference_of_the_old(untrained):
    folder = untrained / "untrained"
    known = checkpoints.read_card(folder)
    checkpoints.write_reference(folder, known, reference())
    checkpoints.write_card(folder, known)
    assert (folder / checkpoints.REFERENCE).exists()
    checkpoints.save(folder, random_network("mobilenetv2_100"), known)
    assert checkpoints.load("untrained").reference is None


@pytest.mark.parametrize("tensors", [None, {}, {"rest": np.ones(1, np.float32)}])
def test_a_reference_that_is_none(untrained, tensors):
    path = untrained / "untrained" / checkpoints.REFERENCE
    path.write_bytes(b"broken" if tensors is None else safetensors.numpy.save(tensors))
    with pytest.raises(CheckpointDamaged, match="no readable reference"):
        checkpoints.read_reference(path.parent, checkpoints.read_card(path.parent))
    assert checkpoints.load("untrained").reference is None, "the model judges without it"


def test_a_reference_with_another_checksum_is_left_out(untrained):
    folder = untrained / "untrained"
    known = checkpoints.write_reference(folder, checkpoints.read_card(folder), reference())
    assert checkpoints.load("untrained").reference is not None
    other = dataclasses.replace(reference(), rest=0.2)
    checkpoints.write_reference(folder, known, other)
    checkpoints.write_card(folder, known)
    edit(untrained, files=dict(known.files))
    with pytest.raises(CheckpointDamaged, match="checksum"):
        checkpoints.read_reference(folder, known)
    assert checkpoints.load("untrained").reference is None
