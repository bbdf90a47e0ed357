"""Copies of a picture: exact where models look, and what follows for a verdict."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from fakeface.models.calibrate import Calibration
from fakeface.models.card import Shortcuts
from fakeface.models.preprocess import face_region
from fakeface.stability import COPIES, Copy, may_turn, reencode, scale, settle, shrink_to, variants
from fakeface.types import RGB, Box, Variant, Verdict
from tests.conftest import card

MARGIN = 0.3


def picture(width: int, height: int) -> RGB:
    """Noise over a slope, in strong colours, so that no two JPEG squares are alike."""
    rng = np.random.default_rng(0)
    slope = np.linspace(0, 160, width)[None, :, None] * np.array([1.0, 0.6, 0.2])
    noise = rng.integers(0, 90, (height, width, 3))
    return np.asarray(slope + noise, np.uint8)


@pytest.mark.parametrize(
    "boxes",
    [
        [Box(300, 200, 90, 120)],
        [Box(0, 0, 61, 83)],
        [Box(1200 - 70, 901 - 95, 70, 95)],
        [Box(5, 700, 80, 100), Box(1000, 33, 60, 77)],
        [Box(0, 0, 1200, 901)],
    ],
)
@pytest.mark.parametrize("copy", COPIES, ids=lambda copy: copy.name)
def test_where_models_look_a_copy_is_that_of_the_whole_picture_bit_for_bit(copy, boxes):
    image = picture(1200, 901)
    ((out, moved),) = variants(image, boxes, MARGIN, [copy])
    factor = min(copy.factor, copy.at_most / 1200)
    whole = reencode(scale(image, factor), copy.quality)
    assert out.shape == whole.shape
    for box in moved:
        for margin in (0.0, 0.15, MARGIN):
            r = face_region(box, out.shape[1], out.shape[0], margin)
            part = np.s_[r.y : r.y + r.h, r.x : r.x + r.w]
            assert np.array_equal(out[part], whole[part])


def test_boxes_move_along_and_the_picture_stays_as_it_is():
    image = picture(1536, 1000)
    before = image.copy()
    (large, a), (middle, b), (half, c) = variants(image, [Box(600, 300, 120, 180)], MARGIN)
    assert np.array_equal(image, before)
    assert [x.shape for x in (large, middle, half)] == [(500, 768, 3), (333, 512, 3), (500, 768, 3)]
    assert a == c == [Box(300, 150, 60, 90)]
    assert b == [Box(200, 100, 40, 60)]


def test_a_small_picture_is_saved_again_and_not_enlarged():
    image = picture(300, 200)
    (first, boxes), *_ = variants(image, [Box(50, 50, 90, 100)], MARGIN)
    assert first.shape == image.shape
    assert boxes == [Box(50, 50, 90, 100)]
    assert not np.array_equal(first[60:140, 60:130], image[60:140, 60:130])
    assert np.array_equal(image, picture(300, 200))


def test_a_panorama_is_no_trouble():
    image = np.zeros((60, 200_000, 3), np.uint8)
    boxes = [Box(10, 5, 40, 50), Box(199_000, 5, 40, 50)]
    shapes = [small.shape for small, _ in variants(image, boxes, MARGIN)]
    assert shapes == [(1, 768, 3), (1, 512, 3), (1, 4096, 3)]


def seen(*verdicts: Verdict) -> list[Variant]:
    return [Variant("copy", 0.5, verdict) for verdict in verdicts]


@pytest.mark.parametrize(
    ("alone", "copies", "wanted"),
    [
        ("FAKE", (), "FAKE"),
        ("FAKE", ("FAKE", "FAKE", "FAKE"), "FAKE"),
        ("FAKE", ("FAKE", "UNSURE", "UNSURE"), "FAKE"),
        ("FAKE", ("FAKE", "FAKE", "REAL"), "UNSURE"),
        ("REAL", ("REAL", "UNSURE", "REAL"), "REAL"),
        ("REAL", ("FAKE", "REAL", "REAL"), "UNSURE"),
        ("UNSURE", ("FAKE", "FAKE", "FAKE"), "UNSURE"),
        ("UNSURE", ("REAL", "FAKE", "REAL"), "UNSURE"),
    ],
)
def test_only_a_flip_to_the_other_side_makes_a_verdict_unsure(alone, copies, wanted):
    assert settle(Verdict[alone], seen(*(Verdict[c] for c in copies))) is Verdict[wanted]


def test_a_copy_is_what_its_name_says():
    """The JPEG in the middle has the quality and the chroma that are promised."""
    image = picture(64, 64)
    file = BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=40, subsampling="4:2:0")
    wanted = np.asarray(Image.open(file).convert("RGB")).astype(int)
    assert np.abs(reencode(image, 40) - wanted).mean() < 1  # two libraries round differently
    assert np.abs(reencode(image, 90) - wanted).mean() > 5
    for copy in COPIES:
        assert f"JPEG quality {copy.quality}" in copy.name
        assert f"at most {copy.at_most} px" in copy.name
        assert ("half the size" in copy.name) == (copy.factor == 0.5)


def test_at_most_never_enlarges():
    assert shrink_to(picture(100, 50), 40).shape == (20, 40, 3)
    small = picture(30, 20)
    assert shrink_to(small, 40) is small
    ((out, _),) = variants(small, [Box(0, 0, 20, 20)], MARGIN, [Copy("x", 90, 40)])
    assert out.shape == small.shape


# -- where copies can change nothing --------------------------------------------------------------

LARGE, MIDDLE, HALF = COPIES


def limits(real_below: float = 0.1, fake_above: float = 0.9, **other: float) -> Calibration:
    return Calibration(other.pop("temperature", 1.0), real_below, fake_above, **other)


@pytest.mark.parametrize(
    ("logit", "expected"),
    [(0.0, False), (3.0, True), (-3.0, True), (9.9, False), (-9.9, False)],
)
def test_copies_are_scored_where_they_may_turn_a_verdict(logit, expected):
    # Of p 0.1 and 0.9 the log-odds are -2.2 and 2.2; 0 is unsure, and 9.9 is 12.1 from -2.2.
    assert may_turn(card("m", calibration=limits()), HALF, logit) is expected


@pytest.mark.parametrize(
    ("copy", "logit", "expected"),
    [
        (LARGE, 3.0, True),  # down to -3.0
        (LARGE, 4.0, False),  # down to -2.0, which is unsure
        (LARGE, -3.0, False),  # up to -2.5 at most
        (MIDDLE, 3.0, False),
        (MIDDLE, -3.0, True),  # up to 5.0
        (HALF, 3.0, True),  # nothing is known of this copy
    ],
)
def test_each_copy_is_scored_as_far_as_it_moves_scores(copy, logit, expected):
    moves = {LARGE.name: (6.0, 0.5), MIDDLE.name: (0.5, 8.0)}
    facts = replace(card("m", calibration=limits()), shortcuts=Shortcuts(moves=moves))
    assert may_turn(facts, copy, logit) is expected


def test_the_offset_and_the_temperature_count():
    assert may_turn(card("m", calibration=limits(temperature=4.0)), HALF, 9.9)  # 2.5 after it
    assert not may_turn(card("m", calibration=limits(offset=6.9)), HALF, 3.0)


def test_thresholds_at_the_ends_are_never_reached():
    everything_unsure = card("m", calibration=limits(0.0, 1.0))
    assert not any(may_turn(everything_unsure, HALF, z) for z in (-5.0, 0.0, 5.0))
