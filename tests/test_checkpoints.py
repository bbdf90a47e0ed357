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

from fakeface.models import checkpoints
from fakeface.quality import Reference
from fakeface.types import CheckpointDamaged, CheckpointMismatch, CheckpointMissing
from tests.conftest import card, random_network


def edit(root, **changes):
    path = root / "untrained" / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def reseal(root, state):
    """Other weights, with the checksum that goes with them."""
    data = safetensors.torch.save(state)
    (root / "untrained" / "model.safetensors").write_bytes(data)
    edit(root, sha256=hashlib.sha256(data).hexdigest())


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
    edit(untrained, sha256=hashlib.sha256(data).hexdigest())
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
    with pytest.raises(CheckpointDamaged):
        checkpoints.installed()


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


def reference(width: int = 1280) -> Reference:
    rng = np.random.default_rng(0)
    return Reference(
        means=rng.normal(size=(2, width)).astype(np.float32),
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
    _, features = model.forward(torch.zeros(2, 3, 96, 96))
    assert model.reference.distance(features).shape == (2,)


def test_a_reference_of_other_weights_is_refused(untrained):
    folder = untrained / "untrained"
    old = dataclasses.replace(checkpoints.read_card(folder), sha256="0" * 64)
    checkpoints.write_reference(folder, old, reference())
    with pytest.raises(CheckpointMismatch, match="other weights"):
        checkpoints.load("untrained")
    checkpoints.write_reference(folder, checkpoints.read_card(folder), reference(7))
    with pytest.raises(CheckpointMismatch, match="7 features"):
        checkpoints.load("untrained")


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
        checkpoints.load("untrained")
