"""Logit -> probability -> verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import with_config
from scipy.special import expit

from fakeface.fields import CLOSED, Finite, Positive, Probability
from fakeface.types import Verdict

_Logits = TypeVar("_Logits", float, npt.NDArray[np.floating])


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class Calibration:
    """How a model's logits are read: p(fake) = sigmoid((logit + offset) / temperature).

    That is Platt scaling (Platt, "Probabilistic Outputs for Support Vector Machines", 1999). With
    an offset of 0 it is temperature scaling (Guo et al., "On Calibration of Modern Neural
    Networks", ICML 2017).

    Attributes:
        temperature: above 0 and finite.
        real_below: p(fake) up to which a face is called real.
        fake_above: p(fake) from which a face is called AI-generated; between the two the verdict
            is unsure.
        offset: added to every logit first; finite.
    """

    temperature: Positive
    real_below: Probability
    fake_above: Probability
    offset: Finite = 0.0

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not math.isfinite(self.temperature):
            raise ValueError(f"a temperature is above 0 and finite, not {self.temperature}")
        if not math.isfinite(self.offset):
            raise ValueError(f"an offset is finite, not {self.offset}")
        if not 0 <= self.real_below <= self.fake_above <= 1:
            raise ValueError("thresholds need 0 <= real_below <= fake_above <= 1")

    def calibrate(self, logits: _Logits) -> _Logits:
        """Calibrated logits, of one logit or of an array; above 0 is the side of fake."""
        return (logits + self.offset) / self.temperature

    def probability(self, logit: float) -> float:
        """Calibrated p(fake) in [0, 1]."""
        return float(expit(self.calibrate(logit)))

    def verdict(self, p_fake: float) -> Verdict:
        """AI-generated, real or unsure."""
        if p_fake >= self.fake_above:
            return Verdict.FAKE
        return Verdict.REAL if p_fake <= self.real_below else Verdict.UNSURE
