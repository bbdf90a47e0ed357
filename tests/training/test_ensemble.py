"""What the vote of several models is worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakeface.types import Consensus, Verdict
from tests.training.test_evaluate import Middle, manifest, middle, record, scored  # noqa: F401
from tests.ui.serve import random_checkpoint
from train.evaluation import ensemble
from train.evaluation.store import read_json
from train.reporting import tables
from train.reporting.stored import read_stored

AI, REAL, UNSURE = Verdict.FAKE, Verdict.REAL, Verdict.UNSURE


@pytest.mark.parametrize(
    ("said", "verdict", "agreeing"),
    [
        ([AI, AI, UNSURE], AI, 2),
        ([AI, UNSURE, UNSURE], UNSURE, 2),
        ([AI, AI, REAL], UNSURE, 0),
        ([REAL, UNSURE], UNSURE, 1),
        ([REAL], REAL, 1),
        ([UNSURE, UNSURE], UNSURE, 2),
    ],
)
def test_a_side_needs_more_than_half_and_nobody_against_it(said, verdict, agreeing):
    found = Consensus.reach(said)
    assert (found.verdict, found.agreeing, found.of) == (verdict, agreeing, len(said))


def test_a_vote_counted_by_hand():
    records = [record(c) for c in "abc"] + [record(c, label=1) for c in "def"]
    # Real up to 0.3 and AI-generated from 0.8; the first model errs on b and f.
    first = scored([0.1, 0.9, 0.5, 0.9, 0.9, 0.1], records)
    second = scored([0.1, 0.1, 0.1, 0.9, 0.5, 0.5], records)
    third = scored([0.1, 0.5, 0.1, 0.9, 0.9, 0.5], records)
    found = ensemble.measure_ensemble([first, second, third])
    assert found["alone"]["coverage"] == pytest.approx(5 / 6)
    assert found["alone"]["wrong"] == pytest.approx(2 / 5)
    assert found["vote"]["coverage"] == pytest.approx(4 / 6)  # a, c, d and e
    assert found["vote"]["wrong"] == 0
    assert found["vote"]["verdicts_on_fake"][AI] == pytest.approx(2 / 3)
    assert found["split"] == pytest.approx(1 / 6)  # b
    assert found["auc"]["value"] == pytest.approx(1 - 1 / 9)  # f below b


@pytest.mark.slow
def test_the_shipped_models_vote(tmp_path, monkeypatch, manifest, middle):  # noqa: F811
    monkeypatch.setenv("FAKEFACE_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setattr(ensemble, "open_detector", lambda name: middle)
    for name in ("one", "two"):
        random_checkpoint(tmp_path / "checkpoints", name)
    ensemble.main(["--data", str(manifest), "--sets", "val", "test"])
    found = read_json(tmp_path / "results" / "ensemble.json")
    assert found["models"] == ["one", "two"]
    assert found["sets"]["val"]["n_real"] == 4
    assert found["sets"]["test"]["vote"] == found["sets"]["test"]["alone"]  # twins agree
    text = tables.ensemble_table(read_stored(tmp_path))
    assert "MobileNetV2, random, MobileNetV2, random: Models that are unsure abstain" in text
    assert np.isfinite(found["sets"]["test"]["auc"]["value"])
    assert isinstance(middle, Middle) and Path("runs/scores").exists()
