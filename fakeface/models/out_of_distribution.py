"""How far a face is from those that a model learnt from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fakeface.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The faces that a model was trained on, as far as the score needs them.

    A face is as unusual as its features are far from the nearer class: the Mahalanobis distance
    of Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples" (NeurIPS
    2018), under the covariance within the classes. That is shrunk: its variances are kept along
    the leading directions only, and along all others one mean variance stands for them, which
    keeps the file small and the many weak directions from deciding.

    It finds what is no usual face, and not a generator that was never seen: with the light model,
    noise, coins and a cup of coffee are farther than 99 of 100 validation faces, and so are 0.3 %
    of the faces of unseen sources, where by chance it would be 1 %.

    Attributes:
        means: (2, D), of the features of real and of fake training faces.
        directions: (D, R), orthonormal columns.
        variances: (R,), along these.
        rest: the variance along any direction across them.
        distances: (M,), of validation faces, rising.
    """

    means: FloatArray
    directions: FloatArray
    variances: FloatArray
    rest: float
    distances: FloatArray

    def __post_init__(self) -> None:
        width, rank = self.directions.shape
        if self.means.shape != (2, width) or self.variances.shape != (rank,):
            raise ValueError("means, directions and variances of a reference do not fit together")
        if not (min(self.variances, default=1.0) > 0 and self.rest > 0):
            raise ValueError("the variances of a reference are above 0")
        if not self.distances.size or not (np.diff(self.distances) >= 0).all():
            raise ValueError("a reference needs distances that rise")

    def distance(self, features: FloatArray) -> FloatArray:
        """How far features (N, D) are from the nearer class; float32 (N,), squared."""
        away = features[:, None] - self.means[None]
        along = away @ self.directions
        # Pythagoras gives what is left across the directions; rounding may take it below 0.
        across = np.maximum((away**2).sum(2) - (along**2).sum(2), 0)
        squared = (along**2 / self.variances).sum(2) + across / self.rest
        return np.asarray(squared.min(axis=1), np.float32)

    def score(self, features: FloatArray) -> FloatArray:
        """The share of validation faces that are farther away than each of (N, D); float32 (N,)."""
        nearer = np.searchsorted(self.distances, self.distance(features), side="right")
        return (1 - nearer / self.distances.size).astype(np.float32)
