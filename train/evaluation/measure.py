"""Every number of one set of scored pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from scipy.special import expit

from fakeface.types import Verdict
from train.evaluation.metrics import (
    Array,
    accuracy,
    auc_interval,
    balanced_accuracy,
    count_reliability,
    expected_calibration_error,
    risk_coverage,
    tpr_at_fpr,
    wilson,
)
from train.evaluation.scored import Scored

SEED: Final = 0  # of the bootstrap


def measure(scored: Scored, no_face: int = 0) -> dict[str, Any]:
    """Every number for one set.

    Args:
        scored: its pictures with a face.
        no_face: how many of its pictures have none.
    """
    labels, p_fake, records = scored.labels, scored.p_fake, scored.records
    said = scored.verdicts()
    real, fake = labels == 0, labels == 1
    sources = [r.source for r in records]
    coverage, risk = risk_coverage(labels, p_fake)
    out = {
        "n_real": int(real.sum()),
        "n_fake": int(fake.sum()),
        "no_face": no_face,
        "auc": auc_interval(labels, p_fake, scored.groups, seed=SEED),
        "accuracy": accuracy(labels, p_fake),
        "balanced_accuracy": balanced_accuracy(labels, p_fake),
        "tpr_at_fpr_1": tpr_at_fpr(labels, p_fake, 0.01),
        "tpr_at_fpr_5": tpr_at_fpr(labels, p_fake, 0.05),
        "ece": expected_calibration_error(labels, p_fake),
        "ece_uncalibrated": expected_calibration_error(labels, expit(scored.logits)),
        "reliability": count_reliability(labels, p_fake),
        **share_verdicts(labels, said),
        "false_positive_rate": _rate(said[real]),
        "true_positive_rate": _rate(said[fake]),
        "real_by_family": rate_by([r.family for r in records], real, said),
        "real_by_source": rate_by(sources, real, said),
        "fake_by_source": rate_by(sources, fake, said),
        "fake_by_generator": rate_by([r.generator or r.source for r in records], fake, said),
        "risk": {**count_answers(labels, said), "area": float(np.trapezoid(risk, coverage))},
    }
    if scored.copies:
        settled = scored.settle()
        out["settled"] = {
            **share_verdicts(labels, settled),
            "real_by_source": rate_by(sources, real, settled),
            "fake_by_source": rate_by(sources, fake, settled),
            "became_unsure": float((settled != said).mean()),
        }
    if any(record.sequence for record in records):
        out["by_sequence"] = measure_sequences(scored)
    return out


def count_answers(labels: Array, said: Array) -> dict[str, float | None]:
    """The share of pictures that are answered at all, and of these the share answered wrongly."""
    answered = said != Verdict.UNSURE
    wrong = ((said == Verdict.FAKE) != (labels == 1))[answered]
    return {
        "coverage": float(answered.mean()),
        "wrong": float(wrong.mean()) if len(wrong) else None,
    }


def share_verdicts(labels: Array, said: Array) -> dict[str, Any]:
    """How often each verdict is given, on photographs and on fakes."""
    return {
        f"verdicts_on_{kind}": {str(v): float((said[labels == label] == v).mean()) for v in Verdict}
        for label, kind in ((0, "real"), (1, "fake"))
    }


def rate_by(names: Sequence[str], chosen: Array, said: Array) -> dict[str, Any]:
    """The share called AI-generated of the pictures of each name, among the chosen ones."""
    of = np.array(names)[chosen]
    return {name: _rate(said[chosen][of == name]) for name in sorted(set(of.tolist()))}


def _rate(said: Array) -> dict[str, float]:
    """The share of these verdicts that is AI-generated."""
    return wilson(int((said == Verdict.FAKE).sum()), len(said))


def measure_sequences(scored: Scored) -> dict[str, Any]:
    """The frames of a sequence judged together, by their mean logit."""
    keys = np.array([r.sequence or r.sha256 for r in scored.records])
    _, first, member = np.unique(keys, return_index=True, return_inverse=True)
    logits = np.bincount(member, scored.logits) / np.bincount(member)
    whole = Scored([scored.records[i] for i in first], logits, scored.calibration)
    labels, p_fake = whole.labels, whole.p_fake
    return {
        "n_real": int((labels == 0).sum()),
        "n_fake": int((labels == 1).sum()),
        "auc": auc_interval(labels, p_fake, whole.groups, seed=SEED),
        "accuracy": accuracy(labels, p_fake),
        "balanced_accuracy": balanced_accuracy(labels, p_fake),
    }
