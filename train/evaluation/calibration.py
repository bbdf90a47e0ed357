"""Logits of the calibration part of val -> a `Calibration`: how a model's logits are read.

Nothing else of a model is chosen by these pictures, so that its p(fake) is as good as it seems.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from fakeface.models.calibrate import Calibration
from train.datasets.records import Record
from train.evaluation.metrics import Array, wilson

# What the thresholds allow on the calibration part.
FALSE_POSITIVES: Final = 0.02  # photographs called AI-generated
FAMILY_FALSE_POSITIVES: Final = 0.04  # the same, in any family of them
FALSE_NEGATIVES: Final = 0.05  # fakes called real
FAMILY_SIZE: Final = 50  # smaller families of photographs are taken together
SMALLER: Final = "smaller families"
_COLDEST, _HOTTEST = 0.05, 20.0  # temperatures; others say that the logits tell nothing


def fit_platt(labels: Array, logits: Array) -> tuple[float, float]:
    """Platt scaling (Platt, "Probabilistic Outputs for Support Vector Machines", 1999).

    Networks are trained on as many fakes as photographs, so a temperature alone would leave their
    p(fake) too high on a mixture with fewer fakes.

    Args:
        labels: (N,) of 0 and 1, both of them present.
        logits: (N,).

    Returns:
        (temperature, offset): p(fake) is sigmoid((logit + offset) / temperature), and its mean is
        the share of fakes.
    """
    regression = LogisticRegression(C=1e6, tol=1e-8, max_iter=1000)  # as good as without penalty
    slope = float(regression.fit(logits[:, None], labels).coef_[0, 0])
    temperature = 1 / min(max(slope, 1 / _HOTTEST), 1 / _COLDEST)
    far = 40 * temperature + float(np.abs(logits).max())
    share = float(labels.mean())
    offset = brentq(lambda x: expit((logits + x) / temperature).mean() - share, -far, far)
    return temperature, float(offset)


def group_families(families: Sequence[str], least: int = FAMILY_SIZE) -> Array:
    """Names of families, (N,), those with fewer members than `least` under one common name."""
    sizes = Counter(families)
    return np.array([name if sizes[name] >= least else SMALLER for name in families], object)


def fit_thresholds(
    labels: Array,
    p_fake: Array,
    families: Sequence[str],
    *,
    false_positives: float = FALSE_POSITIVES,
    family_false_positives: float = FAMILY_FALSE_POSITIVES,
    false_negatives: float = FALSE_NEGATIVES,
    least: int = FAMILY_SIZE,
) -> tuple[float, float]:
    """Where the verdicts begin.

    Args:
        labels: (N,) of 0 and 1.
        p_fake: calibrated, (N,).
        families: of each picture, (N,); those of fakes do not matter.
        false_positives: the share of all photographs that may be called AI-generated.
        family_false_positives: the same for every family of at least `least` photographs, and for
            the smaller ones together, if together they are as many.
        false_negatives: the share of fakes that may be called real.
        least: see `family_false_positives`.

    Returns:
        (real_below, fake_above), see `fakeface.models.calibrate.Calibration`.
    """
    real = labels == 0
    photographs, fakes = p_fake[real], np.sort(p_fake[labels == 1])
    groups = group_families([name for name, chosen in zip(families, real) if chosen], least)
    limits = [_limit(photographs, false_positives)]
    for name in np.unique(groups):
        own = photographs[groups == name]
        if len(own) >= least:
            limits.append(_limit(own, family_false_positives))
    fake_above = max(limits)
    first = fakes[math.floor((len(fakes) - 1) * false_negatives)]
    beyond = fakes[fakes > first]
    real_below = float((first + beyond[0]) / 2 if len(beyond) else first)
    return min(real_below, fake_above), fake_above


def _limit(photographs: Array, share: float) -> float:
    """The lowest p(fake) that at most this share of photographs reaches."""
    values = np.sort(photographs)
    allowed = min(math.floor(len(values) * share + 1e-9), len(values) - 1)
    last = float(values[len(values) - 1 - allowed])
    # Halfway to the next picture, so that no last digit decides; just beyond the highest
    # photograph where there is none, since one on the very threshold counts as well.
    beyond = values[values > last]
    halfway = (last + float(beyond[0])) / 2 if len(beyond) else last
    return min(1.0, max(halfway, float(np.nextafter(last, 2.0))))


def calibrate(records: Sequence[Record], logits: Array) -> Calibration:
    """Offset, temperature and thresholds, fitted to pictures (N) and their logits (N,)."""
    labels = np.array([record.label for record in records])
    temperature, offset = fit_platt(labels, logits)
    p_fake = expit((logits + offset) / temperature)
    below, above = fit_thresholds(labels, p_fake, [record.family for record in records])
    return Calibration(temperature, below, above, offset)


def describe_calibration(
    records: Sequence[Record], logits: Array, how: Calibration
) -> dict[str, Any]:
    """What a calibration allows and gives on the pictures that it was fitted to, for the card.

    Returns:
        part, n_real, n_fake, what was allowed, false_positive_rate, the same by_family, and
        false_negative_rate, with the intervals of `metrics.wilson`.
    """
    labels = np.array([record.label for record in records])
    p_fake = expit(how.calibrate(logits))
    flagged, passed = p_fake >= how.fake_above, p_fake <= how.real_below
    real, fake = labels == 0, labels == 1
    groups = group_families([record.family for record in records if record.label == 0])
    return {
        "part": "calibration",
        "n_real": int(real.sum()),
        "n_fake": int(fake.sum()),
        "photographs_flagged": FALSE_POSITIVES,
        "photographs_of_a_family_flagged": FAMILY_FALSE_POSITIVES,
        "fakes_called_real": FALSE_NEGATIVES,
        "false_positive_rate": wilson(int(flagged[real].sum()), int(real.sum())),
        "false_positive_rate_by_family": {
            name: wilson(int(flagged[real][groups == name].sum()), int((groups == name).sum()))
            for name in sorted(set(groups))
        },
        "false_negative_rate": wilson(int(passed[fake].sum()), int(fake.sum())),
    }
