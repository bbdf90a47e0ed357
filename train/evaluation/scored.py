"""Pictures of one set, and what a model says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from fakeface.models.calibrate import Calibration
from fakeface.types import Verdict
from train.datasets.records import Record
from train.evaluation.metrics import Array


@dataclass(frozen=True, slots=True)
class Scored:
    """One set's pictures in which a face was found, and what a model says of them.

    Attributes:
        records: (N).
        logits: (N,).
        calibration: how they are read.
        copies: logits of the copies of the stability check, a (N,) array each with nan where there
            is none; empty where they were not scored.
    """

    records: Sequence[Record]
    logits: Array
    calibration: Calibration
    copies: tuple[Array, ...] = ()

    @property
    def labels(self) -> Array:
        """(N,) of 0 and 1."""
        return np.array([record.label for record in self.records])

    @property
    def groups(self) -> list[str]:
        """The group of each picture, (N)."""
        return [record.group for record in self.records]

    @property
    def p_fake(self) -> Array:
        """Calibrated, (N,)."""
        return np.asarray(expit(self.calibration.calibrate(self.logits)))

    def verdicts(self, logits: Array | None = None) -> Array:
        """The verdict on each picture by itself, (N,), or by other logits of the same pictures."""
        own = self.logits if logits is None else logits
        how = self.calibration
        return np.array([how.verdict(how.probability(float(z))) for z in own], object)

    def settle(self) -> Array:
        """The verdicts after the stability check, (N,): see `fakeface.stability.settle`."""
        said = self.verdicts()
        out = said.copy()
        for logits in self.copies:
            out[find_flips(said, self.verdicts(logits))] = Verdict.UNSURE
        return out


def find_flips(before: Array, after: Array) -> Array:
    """Which verdicts turned to the other side, bool (N,); from or to unsure is no flip."""
    sides = {Verdict.FAKE, Verdict.REAL}
    return np.array([{a, b} == sides for a, b in zip(before, after)], bool)
