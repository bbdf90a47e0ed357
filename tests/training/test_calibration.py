"""A model's calibration is fitted to a part of val, and keeps what it promises in each family."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from tests.pools import record
from train.evaluation.calibration import (
    SMALLER,
    calibrate,
    describe_calibration,
    fit_platt,
    fit_thresholds,
    group_families,
)


def draw(shift: float, cooling: float, n: int = 6000) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and logits for which the true p(fake) is sigmoid((logit + shift) / cooling)."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 4, n)
    return (rng.random(n) < expit((logits + shift) / cooling)).astype(int), logits


@pytest.mark.parametrize(("shift", "cooling"), [(0.0, 0.6), (1.5, 1.0), (-2.0, 2.5)])
def test_platt_scaling_finds_the_true_numbers_and_scikit_learns(shift, cooling):
    labels, logits = draw(shift, cooling)
    temperature, offset = fit_platt(labels, logits)
    assert temperature == pytest.approx(cooling, rel=0.1)
    assert offset == pytest.approx(shift, abs=0.3)
    # Platt's own method, by scikit-learn; its targets are a little softer than 0 and 1.
    peer = CalibratedClassifierCV(FrozenEstimator(identity()), method="sigmoid")
    theirs = peer.fit(logits[:, None], labels).predict_proba(logits[:, None])[:, 1]
    assert np.abs(expit((logits + offset) / temperature) - theirs).max() < 5e-3


def test_without_a_shift_platt_scaling_is_scikit_learns_temperature_scaling():
    labels, logits = draw(0.0, 2.0, 40_000)
    temperature, offset = fit_platt(labels, logits)
    peer = CalibratedClassifierCV(FrozenEstimator(identity()), method="temperature")
    theirs = peer.fit(logits[:, None], labels).predict_proba(logits[:, None])[:, 1]
    assert np.abs(expit((logits + offset) / temperature) - theirs).max() < 0.02


def identity() -> LogisticRegression:
    """A logistic regression whose decision function is the logit itself."""
    own = LogisticRegression()
    own.classes_, own.coef_, own.intercept_ = np.array([0, 1]), np.array([[1.0]]), np.array([0.0])
    own.n_features_in_ = 1
    return own


@pytest.mark.parametrize("sign", [1, -1])
def test_logits_that_part_the_classes_or_turn_them_round_keep_a_finite_temperature(sign):
    labels, logits = np.array([0, 0, 0, 1]), sign * np.array([-3.0, -2.5, -2.0, 2.0])
    temperature, offset = fit_platt(labels, logits)
    assert 0.05 <= temperature <= 20
    assert expit((logits + offset) / temperature).mean() == pytest.approx(1 / 4, abs=1e-6)


# -- thresholds -----------------------------------------------------------------------------------


def case(sizes: dict[str, int], means: dict[str, float]) -> tuple[np.ndarray, np.ndarray, list]:
    """Photographs of families around these logits, and a thousand fakes."""
    rng = np.random.default_rng(2)
    families = [name for name, n in sizes.items() for _ in range(n)]
    logits = [rng.normal(means.get(name, -2.0), 1.5) for name in families]
    fakes = rng.normal(2, 1.5, 1000)
    labels = np.repeat([0, 1], [len(logits), len(fakes)])
    return labels, expit(np.concatenate([logits, fakes])), [*families, *["gan"] * len(fakes)]


def rate(labels, p_fake, families, above, name=None) -> float:
    chosen = labels == 0
    if name:
        chosen &= np.array(families) == name
    return float((p_fake[chosen] >= above).mean())


def test_thresholds_keep_their_promise():
    labels, p_fake, families = case({"a": 1000}, {})
    below, above = fit_thresholds(labels, p_fake, families)
    assert 0.015 <= rate(labels, p_fake, families, above) <= 0.02
    assert (p_fake[labels == 1] <= below).mean() == pytest.approx(0.05, abs=0.002)
    assert below < above


def test_a_family_that_is_flagged_more_than_the_rest_raises_the_threshold():
    """Two per cent overall would hide that a twentieth of the photographs bears all the errors."""
    labels, p_fake, families = case({"easy": 1900, "studio": 100}, {"easy": -6.0, "studio": 1.0})
    _, overall = fit_thresholds(labels, p_fake, families, family_false_positives=1.0)
    assert rate(labels, p_fake, families, overall, "studio") > 0.3
    _, above = fit_thresholds(labels, p_fake, families)
    assert rate(labels, p_fake, families, above, "studio") <= 0.04
    assert above > overall


def test_small_families_count_together():
    sizes = {"easy": 1880, **{f"studio{i}": 30 for i in range(4)}}
    labels, p_fake, families = case(
        sizes, {"easy": -6.0, **dict.fromkeys(sizes, 1.0) | {"easy": -6}}
    )
    _, above = fit_thresholds(labels, p_fake, families)
    small = np.array([name.startswith("studio") for name in families])
    assert (p_fake[small] >= above).mean() <= 0.04
    # Where even together they are few, chance would decide, and they do not.
    labels, p_fake, families = case({"easy": 1960, "studio": 40}, {"easy": -6.0, "studio": 1.0})
    _, above = fit_thresholds(labels, p_fake, families)
    assert rate(labels, p_fake, families, above, "studio") > 0.04
    assert set(group_families(families)) == {"easy", "gan", SMALLER}


def test_thresholds_of_classes_that_do_not_overlap_leave_no_wrong_order():
    labels, p_fake = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    below, above = fit_thresholds(labels, p_fake, ["a"] * 4)
    assert 0.2 <= below <= above <= 0.8


def test_a_calibration_tells_what_it_gives_in_each_family():
    labels, p_fake, families = case({"a": 400, "b": 60, "c": 20}, {})
    records = [
        record(f"{i}", label=int(label), family=name)
        for i, (label, name) in enumerate(zip(labels, families))
    ]
    logits = 3 * np.log(p_fake / (1 - p_fake)) - 1  # to be cooled and moved
    how = calibrate(records, logits)
    assert how.offset != 0
    found = describe_calibration(records, logits, how)
    assert (found["part"], found["n_real"], found["n_fake"]) == ("calibration", 480, 1000)
    assert found["false_positive_rate"]["value"] <= 0.02
    rates = found["false_positive_rate_by_family"]
    assert {name: rate["n"] for name, rate in rates.items()} == {"a": 400, "b": 60, SMALLER: 20}
    assert rates["b"]["value"] <= 0.04 < rates["b"]["high"]
    assert found["false_negative_rate"]["value"] <= 0.05
