"""How far a face is from those that a model learnt from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fakeface.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The style of the faces that a model was trained on, as far as the score needs it.

    A face is as unusual as its style (`outputs.describe_style`) is far from theirs, photographs
    and fakes together: the Mahalanobis distance, as in Lee et al., "A Simple Unified Framework for
    Detecting Out-of-Distribution Samples" (NeurIPS 2018), under the covariance of probabilistic
    principal component analysis (Tipping and Bishop, Journal of the Royal Statistical Society B,
    1999): variances are kept along the leading directions, and one mean variance stands for all
    others, which keeps the file small.

    It finds what is not made like a photograph, such as paintings, drawings and noise. It does not
    find a generator that was never seen: what looks like a photograph has the style of one.

    Attributes:
        mean: (D,), of the style of training faces.
        scale: (D,), its standard deviation, by which each number is divided.
        directions: (D, R), orthonormal columns.
        variances: (R,), along these.
        rest: the variance along any direction across them.
        distances: (M,), of validation faces, rising.
    """

    mean: FloatArray
    scale: FloatArray
    directions: FloatArray
    variances: FloatArray
    rest: float
    distances: FloatArray

    def __post_init__(self) -> None:
        width, rank = self.directions.shape
        if not self.mean.shape == self.scale.shape == (width,) or self.variances.shape != (rank,):
            raise ValueError("the arrays of a reference do not fit together")
        if not (min(self.variances, default=1.0) > 0 and self.rest > 0 and (self.scale > 0).all()):
            raise ValueError("the variances of a reference are above 0")
        if not self.distances.size or not (np.diff(self.distances) >= 0).all():
            raise ValueError("a reference needs distances that rise")

    def distance(self, style: FloatArray) -> FloatArray:
        """How far styles (N, D) are from those of training faces; float32 (N,), squared."""
        away = (style - self.mean) / self.scale
        along = away @ self.directions
        # Pythagoras gives what is left across the directions; rounding may take it below 0.
        across = np.maximum((away**2).sum(1) - (along**2).sum(1), 0)
        return np.asarray((along**2 / self.variances).sum(1) + across / self.rest, np.float32)

    def score(self, style: FloatArray) -> FloatArray:
        """The share of validation faces that are farther away than each of (N, D); float32 (N,)."""
        nearer = np.searchsorted(self.distances, self.distance(style), side="right")
        return (1 - nearer / self.distances.size).astype(np.float32)
