"""Pictures of several faces, from the detector to text, JSON, CSV and the marked picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fakeface.analysis import analyse
from fakeface.contract import ANALYSIS
from fakeface.faces import MTCNN
from fakeface.images.decoder import read_picture
from fakeface.models.calibrate import Calibration
from fakeface.models.engine import Model
from fakeface.models.preprocess import Preprocessing
from fakeface.report.html import to_html
from fakeface.report.overlay import overlay
from fakeface.report.record import to_dict
from fakeface.report.text import to_text
from fakeface.scan import rows
from fakeface.types import Box, Face, Picture, Status, Verdict
from tests.conftest import card, random_network

CASES = Path(__file__).parent / "data" / "cases"
HOW = Preprocessing(64, 0.0, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


class Places:
    """A detector that finds faces at given places."""

    name = "places"

    def __init__(self, *boxes: Box, smallest: int = 40) -> None:
        self.boxes, self.least = boxes, smallest

    def detect(self, image):
        return tuple(Face(box) for box in self.boxes)

    def smallest(self, image):
        return self.least


class Bright(Model):
    """Calls bright faces AI-generated, and dark ones real."""

    def __init__(self, name: str = "bright") -> None:
        known = card(name, preprocessing=HOW, calibration=Calibration(1.0, 0.3, 0.7))
        super().__init__(known, random_network("mobilenetv2_100"), "cpu")

    def forward(self, batch: torch.Tensor):
        mean = batch.mean(dim=(1, 2, 3))
        return torch.where(mean > 0, 4.0, -4.0).numpy(), batch.mean(dim=(2, 3)).numpy()


def row_of_people(count: int, bright: tuple[int, ...] = ()) -> tuple[Picture, list[Box]]:
    """A picture of dark faces in a row, some of them bright instead."""
    image = np.full((120, 100 * count, 3), 60, np.uint8)
    for i in bright:
        image[:, 100 * i : 100 * i + 100] = 200
    return Picture(b"", "5e" * 32, image, "row.png"), [
        Box(100 * i + 10, 10, 80, 100) for i in range(count)
    ]


def judged(count, bright=(), **options):
    picture, boxes = row_of_people(count, bright)
    options = {"models": [Bright()], "detector": Places(*boxes), "stability": False} | options
    return analyse(picture, **options)


def test_one_generated_face_among_nineteen_is_shown_and_is_unsure():
    found = judged(19, bright=(7,))
    (score,) = found.faces[7].scores
    assert (score.verdict, score.by_chance) == (Verdict.UNSURE, True)
    assert score.p_fake > 0.9, "what the model gave this face is still told"
    assert score.stable, "it did not flip in a copy"
    assert found.verdict is Verdict.UNSURE
    assert found.p_fake < 0.7
    text = to_text(found)
    assert "1 of 19 faces looks generated; by chance one would expect 0.4." in text
    assert "chance explains one like it" in text
    record = to_dict(found)
    ANALYSIS.validate_python(record)
    assert record["verdict"] == "unsure" and record["p_fake"] < 0.7
    assert record["faces"][7]["models"]["bright"]["by_chance"]
    crowd = record["crowds"]["bright"]
    assert (crowd["faces"], crowd["generated"]) == (19, 1)
    assert crowd["expected"] == pytest.approx(0.38)
    (row,) = rows(found)
    assert (row.faces, row.verdict) == (19, "unsure") and row.p_fake < 0.7


def test_a_crowd_that_looks_generated_is():
    found = judged(6, bright=(0, 1, 2, 3, 4, 5))
    assert found.verdict is Verdict.FAKE
    assert found.p_fake >= 0.7
    assert not any(face.scores[0].by_chance for face in found.faces)


def test_a_picture_of_one_face_says_nothing_of_crowds():
    found = judged(1, bright=(0,))
    assert (found.verdict, found.crowds) == (Verdict.FAKE, ())
    assert found.p_fake == found.faces[0].scores[0].p_fake
    assert "by chance" not in to_text(found)
    assert to_dict(found)["crowds"] == {}


def test_each_model_sees_the_crowd_for_itself():
    found = judged(3, bright=(1,), models=[Bright("one"), Bright("two")])
    assert [crowd.model for crowd in found.crowds] == ["one", "two"]
    assert "1 of 3 faces looks generated to two" in to_text(found)


def test_faces_too_small_to_judge_are_counted_and_drawn():
    picture, boxes = row_of_people(1)
    small = Box(0, 0, 20, 25)
    found = analyse(picture, models=[Bright()], detector=Places(*boxes, small), stability=False)
    assert len(found.faces) == 1 and [face.box for face in found.too_small] == [small]
    assert "2 faces found, 1 too small to judge (under 40 pixels)" in to_text(found)
    record = to_dict(found)
    ANALYSIS.validate_python(record)
    assert (record["faces_found"], record["too_small"]) == (2, [[0, 0, 20, 25]])
    assert "1 too small to judge" in to_html(found, picture)
    drawn = overlay(picture, found)
    assert (drawn[24, 5] != picture.rgb[24, 5]).any()
    assert rows(found)[0].faces == 1, "the column counts the faces that were judged"


def test_where_all_faces_are_too_small_nothing_is_judged():
    picture, _ = row_of_people(2)
    detector = Places(Box(0, 0, 20, 25), Box(50, 0, 20, 25))
    found = analyse(picture, models=[Bright()], detector=detector)
    assert (found.status, found.verdict) == (Status.NO_FACE, None)
    assert "2 faces found, 2 too small to judge" in to_text(found)
    detector = Places(Box(0, 0, 20, 25))
    found = analyse(picture, models=[Bright()], detector=detector)
    assert "1 face found, too small to judge (under 40 pixels)" in to_text(found)
    assert "1 face found, too small to judge" in to_html(found, picture)


def test_what_a_weak_detector_cannot_see_is_said():
    picture, _ = row_of_people(1)
    found = analyse(picture, models=[Bright()], detector=Places(smallest=144))
    assert "(places) sees faces of about 144 pixels and more in this picture" in to_text(found)
    assert to_dict(found)["smallest"] == 144
    assert "about 144 pixels" in to_html(found, picture)
    found = analyse(picture, models=[Bright()], detector=Places(smallest=40))
    assert "smaller ones may be missing" not in to_text(found)


def test_a_group_that_haar_does_not_see(haar):
    picture = read_picture((CASES / "group_24_faces.jpg").read_bytes())
    found = analyse(picture, models=[Bright()], detector=haar)
    assert found.status is Status.NO_FACE
    assert "(haar) sees faces of about 144 pixels and more in this picture" in to_text(found)


def test_the_case_of_54_faces():
    picture = read_picture((CASES / "group_54_faces_too_small.jpg").read_bytes())
    found = analyse(picture, models=[Bright()], detector=MTCNN(), stability=False)
    small = len(found.too_small)
    assert len(found.faces) + small == 54 and small >= 51
    assert f"54 faces found, {small} too small to judge (under 40 pixels)" in to_text(found)
    assert to_dict(found)["faces_found"] == 54


def test_a_face_that_the_detector_doubts_gets_a_warning():
    picture, (box,) = row_of_people(1)
    detector = Places()
    for doubted in (False, True):
        detector.detect = lambda image, doubted=doubted: (Face(box, 0.9, doubted=doubted),)
        text = to_text(analyse(picture, models=[Bright()], detector=detector, stability=False))
        assert ("less sure of this face than of 98 of 100 photographs" in text) == doubted
