"""A crowd is called AI-generated only beyond chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from fakeface.crowd import NOMINAL, FalseAlarms, judge_together
from fakeface.models import checkpoints
from fakeface.types import Score, Verdict

FAKE, REAL, UNSURE = Verdict.FAKE, Verdict.REAL, Verdict.UNSURE
# Scores of photographs spread evenly over [0, 1], so that a score p has the rate 1 - p.
LIMITS = tuple(np.linspace(0, 1, 1001))
ALARMS = FalseAlarms(0.98, LIMITS, tuple(1 - p for p in LIMITS), 10_000)


def scored(*p_fake, verdict=None):
    return [
        Score("a", 0.0, p, verdict or (FAKE if p >= ALARMS.fake_above else REAL)) for p in p_fake
    ]


def verdicts(scores):
    return [score.verdict for score in judge_together(scores, ALARMS)[0]]


@pytest.mark.parametrize("p_fake", [0.0, 0.5, 0.9799, 0.98, 1.0])
def test_a_picture_of_one_face_is_judged_as_before(p_fake):
    scores = scored(p_fake)
    assert judge_together(scores, ALARMS) == (scores, None)


def test_no_face_is_no_crowd():
    assert judge_together([], ALARMS) == ([], None)


def test_one_face_among_nineteen_that_just_looks_generated_is_unsure():
    judged, crowd = judge_together(scored(*[0.1] * 11, 0.985, *[0.3] * 7), ALARMS)
    assert [score.verdict for score in judged] == [REAL] * 11 + [UNSURE] + [REAL] * 7
    assert [score.by_chance for score in judged].index(True) == 11
    assert judged[11].p_fake == 0.985, "its own score is not touched"
    assert (crowd.faces, crowd.generated) == (19, 1)
    assert crowd.expected == pytest.approx(0.38, abs=0.01)
    assert crowd.p_fake < ALARMS.fake_above


def test_a_score_that_no_photograph_has_is_beyond_chance_in_a_small_group():
    assert verdicts(scored(0.1, 0.2, 0.9999)) == [REAL, REAL, FAKE]


def test_a_crowd_of_generated_faces_is_generated():
    assert verdicts(scored(*[0.981] * 12)) == [FAKE] * 12
    _, crowd = judge_together(scored(*[0.981] * 12), ALARMS)
    assert crowd.p_fake >= ALARMS.fake_above


def test_three_alike_of_five_are_beyond_chance():
    assert verdicts(scored(0.993, 0.99, 0.992, 0.2, 0.3)) == [FAKE, FAKE, FAKE, REAL, REAL]


def test_a_face_that_did_not_survive_the_stability_check_speaks_for_nothing():
    flipped = scored(*[0.999] * 9, verdict=UNSURE)
    assert verdicts([*flipped, *scored(0.985)]) == [UNSURE] * 10
    _, crowd = judge_together([*flipped, *scored(0.985)], ALARMS)
    assert crowd.generated == 1 and crowd.p_fake < ALARMS.fake_above


@pytest.mark.parametrize("count", [2, 5, 20])
@pytest.mark.parametrize("alike", [0.0, 0.7])
def test_groups_of_photographs_are_flagged_no_more_often_than_portraits(count, alike):
    """Whether the faces of a picture err by themselves or together, as those of one camera may."""
    rng = np.random.default_rng(count)
    draws = np.sqrt(alike) * rng.standard_normal((800, 1)) + np.sqrt(1 - alike) * (
        rng.standard_normal((800, count))
    )
    ranks = draws.ravel().argsort().argsort().reshape(draws.shape) / draws.size
    flagged = sum(FAKE in verdicts(scored(*row)) for row in ranks)
    assert binomtest(flagged, 800, 0.02, "greater").pvalue > 0.001, flagged / 800


@pytest.mark.parametrize("count", [2, 20])
def test_the_score_of_a_picture_does_not_grow_with_the_crowd(count):
    """A group of photographs has the score of a portrait: half of them above, half below 0.5."""
    rng = np.random.default_rng(count)
    scores = [judge_together(scored(*rng.random(count)), ALARMS)[1].p_fake for _ in range(600)]
    assert np.median(scores) == pytest.approx(0.5, abs=0.05)
    assert np.quantile(scores, 0.9) == pytest.approx(0.9, abs=0.05)


def test_score_and_verdict_of_a_picture_agree():
    rng = np.random.default_rng(0)
    for _ in range(200):
        row = 1 - rng.random(rng.integers(2, 12)) ** rng.integers(1, 12)
        judged, crowd = judge_together(scored(*row), ALARMS)
        assert (crowd.p_fake >= ALARMS.fake_above) == any(s.verdict is FAKE for s in judged)
        assert 0 <= crowd.p_fake <= max(row)


def test_rates_are_never_zero_and_scores_turn_them_round():
    few = FalseAlarms(0.8, (0.1, 0.5, 0.8, 0.9), (0.6, 0.2, 0.02, 0.0), 99)
    assert few.rate([0.05, 0.1, 0.5, 0.95]) == pytest.approx([1.0, 0.604, 0.208, 0.01])
    assert few.score(0.604) == pytest.approx(0.1) and few.score(0.01) == pytest.approx(0.9)
    assert few.flagged_share == 0.02 and few.limit == pytest.approx(0.0298)


@pytest.mark.parametrize(
    ("p_fake", "shares", "count"),
    [((), (), 9), ((0.1,), (0.1, 0.2), 9), ((0.2, 0.1), (0.5, 0.1), 9), ((0.1, 0.2), (0.1, 0.5), 9),
     ((0.1,), (0.5,), 0)],
)  # fmt: skip
def test_false_alarms_that_make_no_sense_are_refused(p_fake, shares, count):
    with pytest.raises(ValueError, match="need scores"):
        FalseAlarms(0.5, p_fake, shares, count)


def test_without_a_curve_all_faces_must_look_generated():
    known = FalseAlarms.from_metrics({}, 0.7)
    assert known.flagged_share == NOMINAL

    def of(*p_fake):
        scores = [Score("a", 0.0, p, FAKE if p >= 0.7 else REAL) for p in p_fake]
        return [score.verdict for score in judge_together(scores, known)[0]]

    assert of(0.71, 0.99) == [FAKE, FAKE]
    assert of(0.1, 0.99) == [REAL, UNSURE]


@pytest.mark.parametrize("card", checkpoints.installed(), ids=lambda card: card.name)
def test_the_curves_of_the_shipped_models_are_read(card):
    known = FalseAlarms.from_metrics(card.metrics, card.calibration.fake_above)
    assert len(known.p_fake) > 50
    # At most 2 % of the calibration part, and less where one family decides.
    assert 0 < known.flagged_share < 0.03


def test_a_card_that_does_not_count_its_photographs_is_taken_at_the_nominal_rate():
    curve = {"p_fake": [0.9, 0.1], "photographs_flagged": [0.0, 0.5], "fakes_caught": [0.5, 1.0]}
    found = FalseAlarms.from_metrics({"sets": {"val": {"curve": curve}}}, 0.9)
    assert found == FalseAlarms.from_threshold(0.9, NOMINAL)
