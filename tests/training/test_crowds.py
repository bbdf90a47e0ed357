"""How often a group is called AI-generated, and how sure that number is."""

from __future__ import annotations

import numpy as np
import pytest

from fakeface.crowd import FalseAlarms, judge_together
from fakeface.types import Score, Verdict
from train.evaluation.crowds import compose, flag, measure

# Scores of photographs spread evenly over [0, 1]: two of a hundred are above the threshold.
STEPS = tuple(np.linspace(0, 1, 1001))
ALARMS = FalseAlarms(0.98, STEPS, tuple(1 - p for p in STEPS), 10_000)


def test_groups_are_judged_as_the_faces_of_one_picture_are():
    rng = np.random.default_rng(0)
    groups = 1 - rng.random((100, 5)) ** 6
    alone, together = flag(groups, ALARMS)
    for row, by_maximum, by_rule in zip(groups, alone, together, strict=True):
        fake = Verdict.FAKE
        scores = [Score("a", 0.0, p, fake if p >= 0.98 else Verdict.REAL) for p in row]
        said = [score.verdict for score in judge_together(scores, ALARMS)[0]]
        assert by_rule == (fake in said)
        assert by_maximum == (max(row) >= 0.98)
    assert 0 < together.sum() < alone.sum() < 100


def test_a_group_of_one_is_judged_by_the_threshold():
    alone, together = flag(np.linspace(0, 1, 501)[:, None], ALARMS)
    assert (alone == together).all() and alone.sum() == 11


def test_a_group_has_no_picture_twice():
    groups = compose(np.arange(30), 20, 50, np.random.default_rng(0))
    assert groups.shape == (50, 20)
    assert all(len(set(row)) == 20 for row in groups)
    assert set(groups.ravel()) == set(range(30))
    with pytest.raises(ValueError, match="30 pictures do not make a group of 31"):
        compose(np.arange(30), 31, 1, np.random.default_rng(0))


def test_the_maximum_grows_with_the_group_and_the_rule_does_not():
    photographs = np.linspace(0, 1, 500)
    fakes = np.linspace(0.97, 1, 200)
    found = {n: measure(photographs, fakes, n, ALARMS, groups=400, rounds=40) for n in (1, 20)}
    assert found[1]["alone"] == found[1]["together"]
    assert found[20]["alone"][0] == pytest.approx(1 - 0.98**20, abs=0.08)
    assert found[20]["together"][0] < 0.07
    assert found[1]["one_fake"][0] == pytest.approx(2 / 3, abs=0.08)
    for rows in found.values():
        for share, low, high in rows.values():
            assert 0 <= low <= share <= high <= 1
    # Of 500 photographs about 10 are above the threshold, give or take 3.
    share, low, high = found[1]["alone"]
    assert low < 0.016 and 0.024 < high < 0.06
    assert measure(photographs, fakes, 5, ALARMS, groups=50, rounds=3) == measure(
        photographs, fakes, 5, ALARMS, groups=50, rounds=3
    )
