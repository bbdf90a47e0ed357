"""Logit -> probability -> verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fakeface.types import Verdict


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a model's logits are read.

    Attributes:
        temperature: logits are divided by it (Guo et al., "On Calibration of Modern Neural
            Networks", ICML 2017); above 0.
        real_below: p(fake) up to which a face is called real.
        fake_above: p(fake) from which a face is called AI-generated; between the two the verdict
            is unsure.
    """

    temperature: float
    real_below: float
    fake_above: float

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not math.isfinite(self.temperature):
            raise ValueError(f"a temperature is above 0 and finite, not {self.temperature}")
        if not 0 <= self.real_below <= self.fake_above <= 1:
            raise ValueError("thresholds need 0 <= real_below <= fake_above <= 1")

    def probability(self, logit: float) -> float:
        """Calibrated p(fake) in [0, 1]."""
        scaled = logit / self.temperature
        if scaled >= 0:
            return 1.0 / (1.0 + math.exp(-scaled))
        return math.exp(scaled) / (1.0 + math.exp(scaled))

    def verdict(self, p_fake: float) -> Verdict:
        """AI-generated, real or unsure."""
        if p_fake >= self.fake_above:
            return Verdict.FAKE
        return Verdict.REAL if p_fake <= self.real_below else Verdict.UNSURE
