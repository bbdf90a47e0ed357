"""The numbers of the evaluation, against scikit-learn and against counting by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score, roc_curve

from train.evaluation.metrics import (
    accuracy,
    auc_interval,
    balanced_accuracy,
    count_reliability,
    reliability,
    risk_coverage,
    thresholds_curve,
    tpr_at_fpr,
    wilson,
)


@pytest.fixture(scope="module")
def case() -> tuple[np.ndarray, np.ndarray]:
    """Labels and p(fake) that agree more or less, with many ties."""
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 2, 500)
    return labels, np.clip(0.5 + (labels - 0.5) * 0.4 + rng.normal(0, 0.25, 500), 0, 1).round(2)


def test_accuracies_are_scikit_learns(case):
    labels, p_fake = case
    said = (p_fake >= 0.5).astype(int)
    assert accuracy(labels, p_fake) == pytest.approx(accuracy_score(labels, said))
    wanted = balanced_accuracy_score(labels, said)
    assert balanced_accuracy(labels, p_fake) == pytest.approx(wanted)


def test_the_area_is_scikit_learns_with_ties(case):
    labels, p_fake = case
    groups = [str(i) for i in range(len(labels))]
    found = auc_interval(labels, p_fake, groups, rounds=50)
    assert found["value"] == pytest.approx(roc_auc_score(labels, p_fake), abs=1e-12)


def test_the_bootstrap_is_that_of_scikit_learn_with_weights(case):
    """The same draws of whole groups, each area by scikit-learn."""
    labels, p_fake = case
    member = np.arange(len(labels)) // 5
    rng, areas = np.random.default_rng(7), []
    for _ in range(60):
        times = np.bincount(rng.integers(0, 100, 100), minlength=100)
        areas.append(roc_auc_score(labels, p_fake, sample_weight=times[member]))
    found = auc_interval(labels, p_fake, [f"{m:03}" for m in member], seed=7, rounds=60)
    low, high = np.percentile(areas, [2.5, 97.5])
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=1e-12)


def test_draws_that_hold_one_class_alone_do_not_count():
    labels, scores = np.array([0, 0, 1]), np.array([0.1, 0.4, 0.8])
    found = auc_interval(labels, scores, ["a", "b", "c"], rounds=200)
    assert found == {"value": 1.0, "low": 1.0, "high": 1.0}


@pytest.mark.parametrize(("hits", "n"), [(0, 3), (2, 12), (5, 5), (30, 400)])
def test_the_interval_of_a_share_is_wilsons(hits, n):
    found = wilson(hits, n)
    wanted = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert found["value"] == hits / n and found["n"] == n
    assert (found["low"], found["high"]) == pytest.approx((wanted.low, wanted.high), abs=1e-6)


def test_what_is_caught_at_a_limit_is_read_off_the_roc(case):
    labels, p_fake = case
    flagged, caught, _ = roc_curve(labels, p_fake)
    for limit in (0.01, 0.05, 0.3):
        assert tpr_at_fpr(labels, p_fake, limit) == caught[flagged <= limit].max()


def test_reliability_is_scikit_learns(case):
    labels, p_fake = case
    promised, true, count = reliability(labels, p_fake, 10)
    # Scikit-learn puts a value on an edge into the bin below, we into the one above.
    inside = np.abs(p_fake * 10 - np.round(p_fake * 10)) > 1e-9
    promised, true, count = reliability(labels[inside], p_fake[inside], 10)
    theirs = calibration_curve(labels[inside], p_fake[inside], n_bins=10)
    assert true == pytest.approx(theirs[0])
    assert promised == pytest.approx(theirs[1])
    assert count.sum() == inside.sum()


def test_the_reliability_table_counts_every_picture_once(case):
    labels, p_fake = case
    rows = count_reliability(labels, p_fake)
    assert sum(row["n"] for row in rows) == len(labels)
    for row in rows:
        last = row["high"] == 1
        held = (p_fake >= row["low"]) & ((p_fake < row["high"]) | last)
        assert row["n"] == pytest.approx(held.sum(), abs=2)  # 0.3 * 10 is not quite 3
        assert row["share"] == wilson(row["fake"], row["n"])
    # A model that promises too much is told so by the count, not by its own p(fake).
    boaster = count_reliability(np.array([1, 0, 0, 0]), np.full(4, 0.95))
    assert [(row["low"], row["n"], row["fake"]) for row in boaster] == [(0.9, 4, 1)]
    assert boaster[0]["share"]["high"] < 0.8


def test_risk_against_coverage_of_a_known_case():
    """By sureness: 0.99 right; 0.05 and 0.95 together, one wrong; 0.6 wrong."""
    labels = np.array([1, 0, 0, 0])
    p_fake = np.array([0.99, 0.0625, 0.9375, 0.6])
    coverage, risk = risk_coverage(labels, p_fake)
    assert coverage.tolist() == [0.25, 0.75, 1.0]
    assert risk == pytest.approx([0.0, 1 / 3, 0.5])


def test_all_answered_is_as_wrong_as_inaccurate(case):
    labels, p_fake = case
    coverage, risk = risk_coverage(labels, p_fake)
    assert coverage[-1] == 1.0
    assert risk[-1] == pytest.approx(1 - accuracy(labels, p_fake))
    assert risk[0] < risk[-1]


def test_the_curve_tells_what_each_threshold_does(case):
    labels, p_fake = case
    curve = thresholds_curve(labels, p_fake)
    limits = curve["p_fake"]
    assert limits == sorted(limits, reverse=True) and 30 <= len(limits) <= 100
    flagged, caught = curve["photographs_flagged"], curve["fakes_caught"]
    assert flagged == sorted(flagged) and caught == sorted(caught)
    assert flagged[-1] == caught[-1] == 1.0
    for i in (0, 10, len(limits) // 2):
        assert flagged[i] == (p_fake[labels == 0] >= limits[i]).mean()
        assert caught[i] == (p_fake[labels == 1] >= limits[i]).mean()
    steps = np.diff([0.0, *flagged[:-1]])  # the last holds all that were clipped to 0
    assert max(steps) < 0.1  # fine enough to turn a dial by


def test_the_curve_is_fine_where_few_photographs_are_flagged():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 700)
    p_fake = 1 / (1 + np.exp(-rng.normal(np.where(labels == 1, 3, -3), 1.5)))
    flagged = thresholds_curve(labels, p_fake)["photographs_flagged"]
    assert sum(0 < share <= 0.1 for share in flagged) >= 5
    assert not any(math.isnan(share) for share in flagged)
