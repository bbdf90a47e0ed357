"""Numbers that say how good a detector is; labels are 1 for fake, scores rise with p(fake)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.metrics import log_loss, roc_auc_score, roc_curve

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
    count = int(member.max()) + 1
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(rounds):
        weights = np.bincount(rng.integers(0, count, count), minlength=count)[member]
        if weights[labels == 0].any() and weights[labels == 1].any():
            found.append(roc_auc_score(labels, scores, sample_weight=weights))
    low, high = np.percentile(found, [2.5, 97.5])
    return {
        "value": float(roc_auc_score(labels, scores)), "low": float(low), "high": float(high)
    }  # fmt: skip


def tpr_at_fpr(labels: Array, scores: Array, fpr: float) -> float:
    """The share of fakes caught by the threshold that flags at most this share of photographs."""
    flagged, caught, _ = roc_curve(labels, scores, drop_intermediate=False)
    return float(caught[flagged <= fpr].max())


def balanced_accuracy(labels: Array, p_fake: Array) -> float:
    """The mean of the shares of both classes that lie on their side of 0.5."""
    right = (p_fake >= 0.5) == (labels == 1)
    return float((right[labels == 1].mean() + right[labels == 0].mean()) / 2)


def expected_calibration_error(labels: Array, p_fake: Array, bins: int = 15) -> float:
    """Mean distance of p(fake) from the share of fakes, over bins of equal width."""
    index = np.minimum((p_fake * bins).astype(int), bins - 1)
    total = np.bincount(index, minlength=bins)
    gap = np.bincount(index, weights=p_fake - labels, minlength=bins)
    return float(np.abs(gap[total > 0]).sum() / len(labels))


def fit_temperature(labels: Array, logits: Array) -> float:
    """The temperature that minimises the log loss (Guo et al., ICML 2017)."""
    found = minimize_scalar(
        lambda log_t: log_loss(labels, expit(logits / np.exp(log_t))),
        bounds=(-3.0, 3.0), method="bounded", options={"xatol": 1e-6},
    )  # fmt: skip
    return float(np.exp(found.x))


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
    fake_above = float(np.quantile(p_fake[labels == 0], 1 - flagged, method="higher"))
    # A photograph on the very threshold would be flagged, too.
    fake_above = min(1.0, float(np.nextafter(fake_above, 2.0)))
    real_below = float(np.quantile(p_fake[labels == 1], missed, method="lower"))
    return min(real_below, fake_above), fake_above
