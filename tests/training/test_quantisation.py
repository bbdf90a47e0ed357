"""What int8 changes, counted by hand; and a network that is made into int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import train.__main__
from fakeface.models import checkpoints
from fakeface.models.card import INT8
from tests.training.test_evaluate import record, scored
from train.evaluation.int8 import compare
from train.evaluation.metrics import auc_difference, auc_interval
from train.formats.formats import FORMATS
from train.formats.network import describe, take

ROOT = Path(__file__).parents[2]


def test_two_ways_of_scoring_are_compared_face_by_face():
    records = [record(c) for c in "abc"] + [record(c, label=1) for c in "def"]
    # Real up to 0.3 and AI-generated from 0.8.
    full = scored([0.1, 0.2, 0.5, 0.9, 0.9, 0.7], records)
    quick = scored([0.1, 0.9, 0.5, 0.9, 0.6, 0.7], records)
    found = compare(full, quick)
    assert (found["n_real"], found["n_fake"]) == (3, 3)
    assert found["full"]["auc"]["value"] == 1
    assert found["int8"]["auc"]["value"] == pytest.approx((2.5 + 2 + 2) / 9)  # b
    assert found["auc_difference"]["value"] == pytest.approx(6.5 / 9 - 1)
    assert found["p_fake_differs"]["at_most"] == pytest.approx(0.7)
    assert found["p_fake_differs"]["mean"] == pytest.approx(1 / 6)
    assert found["verdicts_changed"]["value"] == pytest.approx(2 / 6)  # b and e
    assert found["verdicts_opposite"]["value"] == pytest.approx(1 / 6)  # b
    assert found["full"]["false_positive_rate"]["value"] == 0
    assert found["int8"]["false_positive_rate"]["value"] == pytest.approx(1 / 3)


def test_a_difference_of_areas_is_drawn_in_pairs():
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    before = labels + rng.normal(size=200)
    after = before + 0.01 * rng.normal(size=200)
    groups = [str(i) for i in range(200)]
    found = auc_difference(labels, before, after, groups, rounds=200)
    alone = auc_interval(labels, before, groups, rounds=200)
    other = auc_interval(labels, after, groups, rounds=200)
    assert found["value"] == other["value"] - alone["value"]
    assert found["low"] <= found["value"] <= found["high"]
    assert found["high"] - found["low"] < 0.2 * (alone["high"] - alone["low"])
    assert auc_difference(labels, before, before, groups, rounds=20)["high"] == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the converters, about their own parts
def test_a_network_in_int8_is_a_quarter_of_the_size(untrained, tmp_path):
    how = FORMATS["onnx-int8"]
    if missing := how.missing():
        pytest.skip(f"the format onnx-int8 needs {' and '.join(missing)}, not installed here")
    model = checkpoints.load("untrained", device="cpu", engine="torch")
    faces = np.random.default_rng(0).normal(size=(8, 3, 96, 96)).astype(np.float32)
    path = tmp_path / "small.onnx"
    network = take(model, describe(model.card, precision="int8"), faces)
    how.write(network, path)
    assert path.stat().st_size < 2.9e6  # 8.9 MB in fp32
    assert how.read_metadata(path) == network.metadata
    checkpoints.write_int8(tmp_path / "checkpoints" / "untrained", model.card, path.read_bytes())
    quick = checkpoints.load("untrained", engine="int8")
    batch = torch.from_numpy(faces)
    wanted, found = model.logits(batch), quick.logits(batch)
    assert found.shape == wanted.shape
    assert 0 < np.abs(found - wanted).max() < 0.5 * np.ptp(wanted)


@pytest.mark.filterwarnings("ignore")
def test_int8_is_fitted_once_for_each_weights(untrained):
    if missing := FORMATS["onnx-int8"].missing():
        pytest.skip(f"the format onnx-int8 needs {' and '.join(missing)}, not installed here")
    command = ["export", "--model", "untrained", "--format", "onnx-int8"]
    with pytest.raises(SystemExit, match="name them with --data MANIFEST"):
        train.__main__.main(command)
    other = (ROOT / "checkpoints" / "mobilenetv2_100" / INT8).read_bytes()
    checkpoints.write_int8(
        untrained / "untrained", checkpoints.read_card(untrained / "untrained"), other
    )
    with pytest.raises(SystemExit, match="name them with --data MANIFEST"):
        train.__main__.main(command)
