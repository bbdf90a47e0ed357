"""Are the faces of one picture that look generated more than chance explains?

A threshold that flags 2 of 100 photographs of one person flags every third group of twenty. So the
faces of a picture are tested together, by the procedure of Benjamini and Hochberg, "Controlling
the False Discovery Rate" (Journal of the Royal Statistical Society B, 1995). Among photographs
alone it flags a group no more often than a portrait, however many people are in it (it is then the
test of Simes, Biometrika 1986), also where the faces of a picture err together, since they come
from one camera. A picture of one face is judged as if there were no such test.

The test needs to know how often a photograph gets a score as high as that of a face:
`FalseAlarms`, which was measured with the model on photographs that it did not learn from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import false_discovery_control

from fakeface.types import Crowd, Score, Verdict

NOMINAL: Final = 0.02  # the share of photographs that a threshold flags when a model is exported
_Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """How often a model gives a photograph a high score.

    Attributes:
        fake_above: the model's threshold on p(fake).
        p_fake: scores, rising.
        shares: of the photographs with such a score or a higher one, in [0, 1]; falling.
        count: how many photographs there were.
    """

    fake_above: float
    p_fake: Sequence[float]
    shares: Sequence[float]
    count: int

    def __post_init__(self) -> None:
        if not 0 < len(self.p_fake) == len(self.shares) or self.count < 1:
            raise ValueError("false alarms need scores, and as many shares of photographs")
        if (np.diff(self.p_fake) < 0).any() or (np.diff(self.shares) > 0).any():
            raise ValueError("false alarms need scores that rise and shares that fall")

    @property
    def limit(self) -> float:
        """The rate of the threshold: how often a picture of photographs may be flagged."""
        return float(self.rate([self.fake_above])[0])

    @property
    def flagged_share(self) -> float:
        """The share of those photographs that the threshold flags."""
        return float(self._shares([self.fake_above])[0])

    @classmethod
    def from_metrics(cls, metrics: Mapping[str, Any], fake_above: float) -> FalseAlarms:
        """From the metrics of a model card, or, where they do not tell, from NOMINAL."""
        val = metrics.get("sets", {}).get("val", {})
        curve, count = val.get("curve"), val.get("n_real")
        if not curve or not count:
            return cls.from_threshold(fake_above, NOMINAL)
        p_fake, shares = curve["p_fake"][::-1], curve["photographs_flagged"][::-1]
        return cls(fake_above, tuple(p_fake), tuple(shares), count)

    @classmethod
    def from_threshold(cls, fake_above: float, share: float) -> FalseAlarms:
        """What is known of a model of which only its threshold was measured.

        Several faces are then called AI-generated only where all of them look so.
        """
        return cls(fake_above, (0.0, fake_above), (1.0, share), max(1, round(1 / share)))

    def rate(self, p_fake: Sequence[float] | _Numbers) -> _Numbers:
        """How often a photograph gets that score or a higher one; float64, shaped as `p_fake`.

        The photograph in question counts as one of them, so that the rate is never 0 and holds
        exactly for photographs like those (Vovk et al., "Algorithmic Learning in a Random World",
        2005, chapter 2: a conformal p-value).
        """
        return self._with_one_more(self._shares(p_fake))

    def score(self, rate: float) -> float:
        """The score that a share of photographs reaches or exceeds: `rate` turned round."""
        # np.interp wants rising numbers, and of equal shares the lowest score counts.
        shares, first = np.unique(np.asarray(self.shares), return_index=True)
        rates = self._with_one_more(shares)
        return float(np.interp(rate, rates, np.asarray(self.p_fake)[first]))

    def _shares(self, p_fake: Sequence[float] | _Numbers) -> _Numbers:
        place = np.searchsorted(self.p_fake, p_fake, side="right") - 1
        return np.where(place < 0, 1.0, np.take(self.shares, np.maximum(place, 0)))

    def _with_one_more(self, shares: _Numbers) -> _Numbers:
        return (shares * self.count + 1) / (self.count + 1)


def judge_together(
    scores: Sequence[Score], alarms: FalseAlarms
) -> tuple[list[Score], Crowd | None]:
    """The scores that one model gave to the faces of one picture, seen together.

    Args:
        scores: of all faces, by one model.
        alarms: of that model.

    Returns:
        The scores, in the same order: faces that look generated, but no more so than chance
        explains, are unsure. And what to say of the picture; None where it has one face or none.
    """
    if len(scores) < 2:
        return list(scores), None
    alone = np.array([score.verdict is Verdict.FAKE for score in scores])
    p_fake = np.array([score.p_fake for score in scores])
    rates = alarms.rate(p_fake)
    # A high score that did not survive the stability check speaks for nothing.
    together = false_discovery_control(np.where(alone, rates, 1.0))
    stays = alone & (together <= alarms.limit)
    judged = [
        replace(score, verdict=Verdict.UNSURE, by_chance=True) if lost else score
        for score, lost in zip(scores, alone & ~stays)
    ]
    p_picture = alarms.score(float(false_discovery_control(rates).min()))
    if stays.any():
        p_picture = max(p_picture, alarms.fake_above)
    else:  # below the threshold, as the verdict is
        p_picture = min(p_picture, float(np.nextafter(alarms.fake_above, 0)))
    return judged, Crowd(
        model=scores[0].model,
        faces=len(scores),
        generated=int(alone.sum()),
        expected=alarms.flagged_share * len(scores),
        p_fake=min(p_picture, float(p_fake.max())),
    )
