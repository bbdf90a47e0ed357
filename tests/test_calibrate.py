"""The maths of calibration, against scikit-learn and against counting."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from fakeface.models.calibrate import Calibration
from fakeface.types import Verdict
from train.evaluation.metrics import (
    auc_interval,
    balanced_accuracy,
    expected_calibration_error,
    tpr_at_fpr,
)


def test_probability_is_the_sigmoid_of_the_cooled_logit():
    for temperature in (0.5, 1.0, 3.0):
        calibration = Calibration(temperature, 0.2, 0.8)
        for logit in (-800.0, -3.0, 0.0, 0.1, 7.0, 800.0):
            assert calibration.probability(logit) == pytest.approx(expit(logit / temperature))


def test_the_offset_is_added_before_the_temperature_divides():
    """As Platt scaling fits it: a model that leans to one side needs no other weights."""
    plain, shifted = Calibration(2.0, 0.2, 0.8), Calibration(2.0, 0.2, 0.8, offset=-1.5)
    for logit in (-800.0, -3.0, 0.0, 1.5, 7.0, 800.0):
        assert shifted.probability(logit) == pytest.approx(expit((logit - 1.5) / 2))
        assert shifted.probability(logit) == plain.probability(logit - 1.5)
    logits = np.array([-3, 1.5, 7], np.float32)
    assert shifted.calibrate(logits).tolist() == [-2.25, 0, 2.75]
    assert shifted.calibrate(logits).dtype == np.float32


def test_a_positive_logit_speaks_for_fake():
    calibration = Calibration(1.0, 0.2, 0.8)
    assert calibration.verdict(calibration.probability(5.0)) is Verdict.FAKE
    assert calibration.verdict(calibration.probability(-5.0)) is Verdict.REAL
    assert calibration.verdict(calibration.probability(0.0)) is Verdict.UNSURE


def test_the_thresholds_belong_to_their_verdicts():
    calibration = Calibration(1.0, 0.25, 0.75)
    said = [calibration.verdict(p) for p in (0.0, 0.25, 0.2501, 0.7499, 0.75, 1.0)]
    assert said == [Verdict.REAL] * 2 + [Verdict.UNSURE] * 2 + [Verdict.FAKE] * 2


@pytest.mark.parametrize(
    "wrong",
    [
        (0.0, 0.2, 0.8),
        (-1.0, 0.2, 0.8),
        (float("inf"), 0.2, 0.8),
        (1.0, 0.8, 0.2),
        (1.0, float("nan"), 0.2),
        (1.0, 0.2, 0.8, float("nan")),
        (1.0, 0.2, 0.8, float("inf")),
    ],
)
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"temperature|thresholds|offset"):
        Calibration(*wrong)


def test_the_calibration_error_of_a_known_case():
    p_fake = np.array([0.1, 0.1, 0.9, 0.9])
    assert expected_calibration_error(np.array([0, 0, 1, 1]), p_fake) == pytest.approx(0.1)
    assert expected_calibration_error(np.array([1, 1, 0, 0]), p_fake) == pytest.approx(0.9)
    rng = np.random.default_rng(0)
    honest = rng.random(50_000)
    labels = (rng.random(50_000) < honest).astype(int)
    assert expected_calibration_error(labels, honest) < 0.01


def test_auc_and_its_interval():
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 150)
    scores = rng.normal(labels, 1.0)
    alone = auc_interval(labels, scores, [str(i) for i in range(300)], rounds=300)
    assert alone["value"] == pytest.approx(roc_auc_score(labels, scores))
    assert alone["low"] < alone["value"] < alone["high"]
    # Ten copies of each picture teach nothing new: the interval over groups stays as wide.
    many = auc_interval(
        np.repeat(labels, 10), np.repeat(scores, 10),
        [str(i // 10) for i in range(3000)], rounds=300,
    )  # fmt: skip
    width = alone["high"] - alone["low"]
    assert many["high"] - many["low"] == pytest.approx(width, rel=0.3)


def test_catching_at_a_limit_of_false_alarms():
    labels = np.array([0] * 100 + [1] * 4)
    scores = np.array([i / 100 for i in range(100)] + [0.985, 0.955, 0.5, 2.0])
    assert tpr_at_fpr(labels, scores, 0.01) == 0.5
    assert tpr_at_fpr(labels, scores, 0.05) == 0.75
    assert tpr_at_fpr(labels, scores, 0.0) == 0.25


def test_balanced_accuracy_does_not_reward_the_larger_class():
    labels = np.array([0] * 98 + [1] * 2)
    assert balanced_accuracy(labels, np.zeros(100)) == 0.5
    assert balanced_accuracy(labels, labels.astype(float)) == 1.0
