"""Numbers that say how good a detector is; labels are 1 for fake, scores rise with p(fake).

Labels are (N,) integers 0 or 1, scores (N,) of any range, p_fake (N,) in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit
from sklearn.metrics import log_loss, roc_curve

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
    found = [area(times[member]) for times in drawn]
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return {"value": area(np.ones(len(labels))), "low": float(low), "high": float(high)}


def wilson(hits: int, n: int) -> Interval:
    """A share with its 95 % interval (Wilson, 1927), which is honest where n is small.

    Returns:
        {"n", "value", "low", "high"}; n is at least 1.
    """
    z = 1.959964
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return {"n": n, "value": share, "low": max(0.0, centre - half), "high": min(1.0, centre + half)}


def tpr_at_fpr(labels: Array, scores: Array, fpr: float) -> float:
    """The share of fakes caught by the threshold that flags at most this share of photographs."""
    flagged, caught, _ = roc_curve(labels, scores, drop_intermediate=False)
    return float(caught[flagged <= fpr].max())


def accuracy(labels: Array, p_fake: Array) -> float:
    """The share of pictures that lie on their side of 0.5."""
    return float(((p_fake >= 0.5) == (labels == 1)).mean())


def balanced_accuracy(labels: Array, p_fake: Array) -> float:
    """The mean of the shares of both classes that lie on their side of 0.5."""
    right = (p_fake >= 0.5) == (labels == 1)
    return float((right[labels == 1].mean() + right[labels == 0].mean()) / 2)


def reliability(labels: Array, p_fake: Array, bins: int = 15) -> tuple[Array, Array, Array]:
    """What was promised and what was true, over bins of equal width.

    Returns:
        Mean p(fake), share of fakes, and how many pictures, of each bin that holds any.
    """
    index = np.minimum((p_fake * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    held = count > 0
    promised = np.bincount(index, p_fake, bins)[held] / count[held]
    true = np.bincount(index, labels, bins)[held] / count[held]
    return promised, true, count[held]


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
    """What each threshold would flag and catch.

    Half of the thresholds are spread evenly over the photographs, half over the fakes, so that
    the curve is fine where there are pictures; they fall.

    Returns:
        {"p_fake", "photographs_flagged", "fakes_caught"}, equally long, of at most `points`.
    """
    steps = np.linspace(0, 1, points // 2)
    kinds = [np.quantile(p_fake[labels == label], steps, method="nearest") for label in (0, 1)]
    limits = np.unique(np.concatenate(kinds))[::-1]
    flagged, caught = (
        [float((p_fake[labels == label] >= limit).mean()) for limit in limits] for label in (0, 1)
    )
    return {
        "p_fake": [float(limit) for limit in limits],
        "photographs_flagged": flagged,
        "fakes_caught": caught,
    }


def fit_temperature(labels: Array, logits: Array) -> float:
    """The temperature that minimises the log loss (Guo et al., ICML 2017)."""
    found = minimize_scalar(
        lambda log_t: log_loss(labels, expit(logits / np.exp(log_t))),
        bounds=(-3.0, 3.0), method="bounded", options={"xatol": 1e-6},
    )  # fmt: skip
    return float(np.exp(found.x))


def fit_offset(labels: Array, logits: Array) -> float:
    """What to add to logits before a temperature is fitted to them.

    Together they are Platt's scaling (1999). Networks are trained on as many fakes as photographs,
    and a temperature alone leaves their p(fake) too high on a mixture with fewer fakes.
    """
    found = minimize(
        lambda x: log_loss(labels, expit((logits + x[0]) / np.exp(x[1]))),
        x0=(0.0, 0.0), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9},
    )  # fmt: skip
    return float(found.x[0])


def fit_thresholds(
    labels: Array, p_fake: Array, *, flagged: float, missed: float
) -> tuple[float, float]:
    """Where the verdicts begin.

    Args:
        flagged: share of photographs that may be called AI-generated.
        missed: share of fakes that may be called real.

    Returns:
        (real_below, fake_above); between the two the verdict is unsure.
    """
    photographs, fakes = np.sort(p_fake[labels == 0]), np.sort(p_fake[labels == 1])
    # Halfway to the next picture, so that no last digit decides; beyond the highest photograph
    # where there is none, since one on the very threshold would be flagged, too.
    last = photographs[math.ceil((len(photographs) - 1) * (1 - flagged))]
    beyond = photographs[photographs > last]
    halfway = (last + beyond[0]) / 2 if len(beyond) else last
    fake_above = min(1.0, max(float(halfway), float(np.nextafter(last, 2.0))))
    first = fakes[math.floor((len(fakes) - 1) * missed)]
    beyond = fakes[fakes > first]
    real_below = float((first + beyond[0]) / 2 if len(beyond) else first)
    return min(real_below, fake_above), fake_above
