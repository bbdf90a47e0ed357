"""What saves time with a model, and what of it the card allows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fakeface.models.calibrate import Calibration
from fakeface.models.engine import Model
from fakeface.stability import COPIES
from fakeface.types import Box
from tests.conftest import card, random_network
from tests.pools import tiny_pool
from train.datasets.records import Record
from train.datasets.sources import read_manifest
from train.evaluation.scores import Scores
from train.evaluation.shortcuts import _CHUNK, allow, measure_shortcuts, score_passes

LIMITS = Calibration(1.0, 0.3, 0.7)
COUNT = 2000


def record(number: int) -> Record:
    label = number % 2
    kind = "generated" if label else "photo"
    return Record(Path(f"{number}"), label, "val", kind, "s", "f", f"{number}", f"{number:064}")


def measure(folder: Path, bf16: np.ndarray, moved: tuple[float, float] = (-1.0, 2.0)):
    """Scores of some faces: what bfloat16 adds to each, and the ends of what copies add."""
    records = [record(n) for n in range(COUNT)]
    scores = Scores(folder / "scores.csv")
    rows: list[tuple[str, str, float | None]] = []
    for n, one in enumerate(records):
        z = 4.0 if one.label else -4.0
        for side, sign in (("", 1), (", mirrored", -1)):  # the mean of both is z
            rows.append((one.sha256, f"f32{side}", z + sign))
            rows.append((one.sha256, f"bf16{side}", z + sign + float(bf16[n])))
            for copy in COPIES:
                by = moved[n] if n < 2 else 0.0
                gone = copy is COPIES[2] and n > 9
                rows.append((one.sha256, f"{copy.name}{side}", None if gone else z + sign + by))
    scores.add(rows)
    return measure_shortcuts(records, scores, LIMITS)


def test_what_changes_nothing_is_allowed(tmp_path):
    found = measure(tmp_path, np.full(COUNT, 0.01))
    assert found["n"] == COUNT
    assert found["bf16"]["close"] == 1 and found["bf16"]["changed"] == 0
    assert found["mirror"]["auc"]["value"] == found["mirror"]["auc_without"]["value"] == 1
    last = found["copies"][COPIES[2].name]
    assert (last["n"], last["down"], last["up"], last["turned"]) == (10, 1.0, 2.0, 0)
    shortcuts = allow({"val": found})
    assert shortcuts.bf16
    assert shortcuts.moves == {copy.name: (1.1, 2.2) for copy in COPIES}  # with a reserve


@pytest.mark.parametrize(
    ("far", "by", "allowed"),
    [
        (2, 1.0, True),  # of 2,000 faces two may move
        (3, 1.0, False),
        (1, -8.0, False),  # but none to the other side
    ],
)
def test_bfloat16_is_allowed_where_it_changes_nearly_nothing(tmp_path, far, by, allowed):
    bf16 = np.zeros(COUNT)
    bf16[1 : 2 * far : 2] = by  # of fakes
    found = measure(tmp_path, bf16)
    assert found["bf16"]["close"] == 1 - far / COUNT
    assert allow({"val": found}).bf16 is allowed


def test_all_sets_count(tmp_path):
    good = measure(tmp_path / "a", np.zeros(COUNT), (-1.0, 2.0))
    bad = measure(tmp_path / "b", np.ones(COUNT), (-3.0, 1.0))
    both = allow({"val": good, "test": bad})
    assert not both.bf16
    assert both.moves[COPIES[0].name] == (3.3, 2.2)
    unknown = {**good, "bf16": None}  # on a processor without it
    assert not allow({"val": unknown}).bf16


def test_a_copy_that_turns_a_verdict_is_counted(tmp_path):
    found = measure(tmp_path, np.zeros(COUNT), (9.0, 0.0))  # the first is a photograph
    first = found["copies"][COPIES[0].name]
    assert (first["turned"], first["farthest_of_turned"], first["up"]) == (1, 9.0, 9.0)


def test_every_picture_is_scored_in_every_pass(tmp_path):
    """More of them than are scored at a time."""
    records = read_manifest(tiny_pool(tmp_path))
    assert len(records) > 2 * _CHUNK
    faces = {one.sha256: Box(0, 0, 64, 64) for one in records}
    model, scores = (
        Model(card("light", size=32), random_network("mobilenetv2_100")),
        Scores(tmp_path / "scores.csv"),
    )
    given: list[int] = []

    def runtime(batch: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        given.append(len(batch))
        return np.ones((len(batch), 1)), np.zeros((len(batch), 1))

    score_passes(model, {"f32": runtime}, records, faces, scores)
    found, logits = scores.of(records, "f32, mirrored")
    assert found.all() and (logits == 1).all()
    before = list(given)
    score_passes(model, {"f32": runtime}, records, faces, scores)
    assert given == before  # nothing is scored twice
