"""Numbers that say how good a detector is; labels are 1 for fake, scores rise with p(fake).

Labels are (N,) integers 0 or 1, scores (N,) of any range, p_fake (N,) in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest
from sklearn.metrics import roc_curve

Array: TypeAlias = npt.NDArray[Any]
Interval: TypeAlias = dict[str, float]


def auc_interval(
    labels: Array, scores: Array, groups: Sequence[str], *, seed: int = 0, rounds: int = 1000
) -> Interval:
    """The area under the ROC curve with a 95 % bootstrap interval over groups.

    Whole groups (people, videos) are drawn, since pictures of one group are not independent.

    Returns:
        {"value", "low", "high"}.
    """
    value, found = _draw_areas(labels, scores, groups, seed, rounds)
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return {"value": value, "low": float(low), "high": float(high)}


def auc_difference(
    labels: Array,
    before: Array,
    after: Array,
    groups: Sequence[str],
    *,
    seed: int = 0,
    rounds: int = 1000,
) -> Interval:
    """How much larger one area is than another of the same pictures, as `auc_interval`.

    Both are drawn together, so that what is hard for both does not widen the interval.
    """
    one, ones = _draw_areas(labels, before, groups, seed, rounds)
    other, others = _draw_areas(labels, after, groups, seed, rounds)
    low, high = np.nanpercentile(others - ones, [2.5, 97.5])
    return {"value": other - one, "low": float(low), "high": float(high)}


def _draw_areas(
    labels: Array, scores: Array, groups: Sequence[str], seed: int, rounds: int
) -> tuple[float, Array]:
    """The area under the ROC curve, and those of draws of whole groups, (rounds,)."""
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    _, level = np.unique(scores, return_inverse=True)
    count, levels = int(member.max()) + 1, int(level.max()) + 1
    rng = np.random.default_rng(seed)

    def area(weights: Array) -> float:
        """Weighted; nan where a class is absent. Sorting once is what makes it quick."""
        fakes = np.bincount(level, weights * (labels == 1), levels)
        reals = np.bincount(level, weights * (labels == 0), levels)
        pairs = fakes.sum() * reals.sum()
        below = np.cumsum(reals) - reals / 2  # a tie counts half
        return float((fakes * below).sum() / pairs) if pairs else math.nan

    drawn = (np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(rounds))
    return area(np.ones(len(labels))), np.array([area(times[member]) for times in drawn])


def wilson(hits: int, n: int) -> Interval:
    """A share with its 95 % interval (Wilson, 1927), which is honest where n is small.

    Returns:
        {"n", "value", "low", "high"}; n is at least 1.
    """
    found = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    return {"n": n, "value": hits / n, "low": float(found.low), "high": float(found.high)}


def tpr_at_fpr(labels: Array, scores: Array, fpr: float) -> float:
    """The true positive rate at the threshold with at most this false positive rate."""
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    return float(true[false <= fpr].max())


def accuracy(labels: Array, p_fake: Array) -> float:
    """The share of pictures that lie on their side of 0.5."""
    return float(((p_fake >= 0.5) == (labels == 1)).mean())


def balanced_accuracy(labels: Array, p_fake: Array) -> float:
    """The mean of the shares of both classes that lie on their side of 0.5."""
    right = (p_fake >= 0.5) == (labels == 1)
    return float((right[labels == 1].mean() + right[labels == 0].mean()) / 2)


def reliability(labels: Array, p_fake: Array, bins: int = 15) -> tuple[Array, Array, Array]:
    """p(fake) and the share of fakes, over bins of equal width.

    Returns:
        Mean p(fake), share of fakes, and how many pictures, of each bin that holds any.
    """
    index = np.minimum((p_fake * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    held = count > 0
    promised = np.bincount(index, p_fake, bins)[held] / count[held]
    true = np.bincount(index, labels, bins)[held] / count[held]
    return promised, true, count[held]


def count_reliability(labels: Array, p_fake: Array, bins: int = 10) -> list[dict[str, Any]]:
    """How many of the pictures with about the same p(fake) were fakes.

    Returns:
        For each bin of equal width that holds any pictures: low and high, its p(fake); n, its
        pictures; fake, how many of them are fakes; share, that as a share with its interval.
    """
    index = np.minimum((p_fake * bins).astype(int), bins - 1)
    return [
        {
            "low": int(bin_) / bins,
            "high": (int(bin_) + 1) / bins,
            "n": (n := int((index == bin_).sum())),
            "fake": (fake := int(labels[index == bin_].sum())),
            "share": wilson(fake, n),
        }
        for bin_ in np.unique(index)
    ]


def expected_calibration_error(labels: Array, p_fake: Array, bins: int = 15) -> float:
    """Mean distance of p(fake) from the share of fakes, over bins of equal width."""
    promised, true, count = reliability(labels, p_fake, bins)
    return float((np.abs(promised - true) * count).sum() / count.sum())


def risk_coverage(labels: Array, p_fake: Array) -> tuple[Array, Array]:
    """How many answers are wrong if only the surest are given (Geifman and El-Yaniv, 2017).

    Pictures answered are those whose p(fake) lies farthest from 0.5; pictures of one p(fake) are
    answered together.

    Returns:
        Coverage, rising to 1, and the share of wrong answers among those given.
    """
    sureness = np.abs(p_fake - 0.5)
    order = np.argsort(-sureness, kind="stable")
    wrong = ((p_fake >= 0.5) != (labels == 1))[order]
    last = np.append(np.diff(sureness[order]) != 0, True)
    answered = np.arange(1, len(labels) + 1)
    return (answered / len(labels))[last], (np.cumsum(wrong) / answered)[last]


def thresholds_curve(labels: Array, p_fake: Array, points: int = 100) -> dict[str, list[float]]:
    """The operating points: what each threshold gives.

    Half of the thresholds are spread evenly over the photographs, half over the fakes, so that
    the curve is fine where there are pictures; they fall.

    Returns:
        {"p_fake", "photographs_flagged", "fakes_caught"}, equally long, of at most `points`: the
        thresholds, and the false and the true positive rate at each.
    """
    steps = np.linspace(0, 1, points // 2)
    kinds = [np.quantile(p_fake[labels == label], steps, method="nearest") for label in (0, 1)]
    limits = np.unique(np.concatenate(kinds))[::-1]
    false, true = (
        [float((p_fake[labels == label] >= limit).mean()) for limit in limits] for label in (0, 1)
    )
    return {
        "p_fake": [float(limit) for limit in limits],
        "photographs_flagged": false,
        "fakes_caught": true,
    }
