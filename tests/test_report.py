"""The JSON contract, the text, and the picture with its faces marked."""

from __future__ import annotations

import dataclasses
import itertools
import json
from typing import Any

import cv2
import numpy as np
import pytest

import fakeface
from fakeface.report.overlay import overlay
from fakeface.report.record import to_dict
from fakeface.report.text import NOTE, escape, percent, to_text
from fakeface.types import (
    RGB,
    RULE,
    Analysis,
    Box,
    Face,
    FaceReport,
    Finding,
    FloatArray,
    Heatmap,
    Judge,
    Quality,
    Score,
    Status,
    Variant,
    Verdict,
)

SCORES = {Verdict.REAL: 0.125, Verdict.UNSURE: 0.5, Verdict.FAKE: 0.875}


def face(
    box: Box, verdict: Verdict = Verdict.FAKE, *, values: FloatArray | None = None
) -> FaceReport:
    """A face on which model "a" has that verdict, and "b" the opposite."""
    other = {Verdict.FAKE: Verdict.REAL, Verdict.REAL: Verdict.FAKE}.get(verdict, verdict)
    heatmaps = () if values is None else (Heatmap("a", box, values),)
    scores = (
        Score("a", 1.0, SCORES[verdict], verdict),
        Score("b", -1.0, SCORES[other], other),
    )
    return FaceReport(Face(box), scores, heatmaps)


def analysis(width: int, height: int, *faces: FaceReport) -> Analysis:
    status = Status.OK if faces else Status.NO_FACE
    return Analysis("a.jpg", "5e" * 32, status, width, height, "haar", ("a", "b"), faces)


def grey(width: int, height: int) -> RGB:
    return np.full((height, width, 3), 128, np.uint8)


def changed(image: RGB, out: RGB) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    assert out.shape == image.shape
    assert out.dtype == np.uint8
    return np.asarray((out != image).any(axis=2))


def answer(p_fake: float, verdict: str, **changes: Any) -> dict[str, Any]:
    """What the JSON holds of a score that nothing but the model was asked for."""
    plain = {"alone": None, "stable": True, "variants": [], "seconds": 0.0, "heatmap": None}
    plain["by_chance"] = False
    return {"p_fake": p_fake, "verdict": verdict, **plain, **changes}


def test_json_contract() -> None:
    found = analysis(
        640, 480, face(Box(1, 2, 30, 40), Verdict.REAL), face(Box(50, 60, 70, 80), Verdict.FAKE)
    )
    disagree = {"verdict": "unsure", "agreeing": 0, "of": 2, "rule": RULE}
    assert json.loads(json.dumps(to_dict(found))) == {
        "file": "a.jpg",
        "sha256": "5e" * 32,
        "status": "ok",
        "error": None,
        "verdict": "AI-generated",
        "p_fake": 0.875,
        "width": 640,
        "height": 480,
        "detector": "haar",
        "models": ["a", "b"],
        "judges": {},
        "faces": [
            {
                "box": [1, 2, 30, 40],
                "models": {"a": answer(0.125, "real"), "b": answer(0.875, "AI-generated")},
                "quality": None,
                "consensus": disagree,
            },
            {
                "box": [50, 60, 70, 80],
                "models": {"a": answer(0.875, "AI-generated"), "b": answer(0.125, "real")},
                "quality": None,
                "consensus": disagree,
            },
        ],
        "faces_found": 2,
        "too_small": [],
        "smallest": None,
        "crowds": {},
        "provenance": [],
        "frames": 1,
        "frames_looked_at": [0],
        "notes": [],
        "date": None,
        "version": fakeface.__version__,
        "note": NOTE,
    }
    # Plain values, not members of an enumeration, which only look like text.
    assert type(to_dict(found)["verdict"]) is str
    assert type(to_dict(found)["status"]) is str


def everything() -> Analysis:
    """A face of which all that can be found out is known."""
    box = Box(1, 2, 30, 40)
    score = Score(
        "a",
        2.0,
        0.875,
        Verdict.UNSURE,
        variants=(
            Variant("JPEG 60", 0.75, Verdict.UNSURE),
            Variant("half the size", 0.125, Verdict.REAL),
        ),
        alone=Verdict.FAKE,
        seconds=0.25,
    )
    heatmap = Heatmap("a", box, np.ones((8, 8), np.float32), 0.5, -0.125)
    quality = Quality(30, 12.5, 40, 0.25, ("It is small.", "It is blurred."))
    return Analysis(
        "a.jpg",
        "5e" * 32,
        Status.OK,
        640,
        480,
        "haar",
        ("a",),
        (FaceReport(Face(box), (score,), (heatmap,), quality),),
        provenance=(Finding("png", "Stable Diffusion", "steps\x1b[31m", "ai", "unsigned"),),
        judges=(Judge("a", "ab" * 32, 0.25, 0.75),),
        date="2026-11-25T07:10:19Z",
    )


def test_json_of_everything() -> None:
    found = json.loads(json.dumps(to_dict(everything()), allow_nan=False))
    assert found["judges"] == {"a": {"sha256": "ab" * 32, "real_below": 0.25, "fake_above": 0.75}}
    assert found["date"] == "2026-11-25T07:10:19Z"
    assert found["provenance"] == [
        {
            "kind": "png",
            "title": "Stable Diffusion",
            "detail": "steps\x1b[31m",
            "says": "ai",
            "trust": "unsigned",
            "checked": None,
            "scope": None,
        }
    ]
    (one,) = found["faces"]
    assert one["quality"] == {
        "face_side": 30,
        "sharpness": 12.5,
        "jpeg_quality": 40,
        "familiarity": 0.25,
        "warnings": ["It is small.", "It is blurred."],
    }
    assert one["consensus"] == {
        "verdict": "unsure", "agreeing": 1, "of": 1, "rule": RULE,
    }  # fmt: skip
    assert one["models"]["a"] == answer(
        0.875,
        "unsure",
        alone="AI-generated",
        stable=False,
        variants=[
            {"name": "JPEG 60", "p_fake": 0.75, "verdict": "unsure"},
            {"name": "half the size", "p_fake": 0.125, "verdict": "real"},
        ],
        seconds=0.25,
        heatmap={"region": [1, 2, 30, 40], "faithfulness": 0.5, "random": -0.125},
    )


def test_text_of_everything() -> None:
    assert to_text(everything()).splitlines() == [
        "a.jpg: 1 face",
        "  face 1, 30 x 40 pixels at x 1, y 2",
        "    a   88 % likely AI-generated: unsure",
        "       The picture as it came reads as AI-generated, but a copy of it (half the size) "
        "reads as the opposite, so the verdict is unsure.",
        "       How well the heatmap marks what decides (ROAD): +0.50, against -0.12 for a random "
        "map; higher is better.",
        "    It is small.",
        "    It is blurred.",
        r"  in the file: Stable Diffusion (unsigned): steps\x1b[31m",
    ]
    alone = dataclasses.replace(everything(), status=Status.NO_FACE, faces=())
    assert to_text(alone).splitlines() == [
        "a.jpg: no face found, so there is nothing to judge.",
        r"  in the file: Stable Diffusion (unsigned): steps\x1b[31m",
    ]


def test_no_score_without_a_face() -> None:
    found = to_dict(analysis(640, 480))
    assert (found["status"], found["width"]) == ("no_face", 640)
    assert found["verdict"] is None
    assert found["p_fake"] is None
    assert found["faces"] == []


def test_no_score_and_a_reason_where_unreadable() -> None:
    found = to_dict(
        Analysis("x", "", Status.UNREADABLE, detector="haar", models=("a",), error="It is empty.")
    )
    assert (found["status"], found["error"]) == ("unreadable", "It is empty.")
    for name in ("sha256", "verdict", "p_fake", "width", "height", "detector"):
        assert found[name] is None
    assert found["faces"] == []


def test_text_names_every_face_and_model() -> None:
    text = to_text(analysis(640, 480, face(Box(1, 2, 30, 40), Verdict.REAL)))
    assert text.splitlines() == [
        "a.jpg: 1 face",
        "  face 1, 30 x 40 pixels at x 1, y 2",
        "    a   12 % likely AI-generated: real",
        "    b   88 % likely AI-generated: AI-generated",
        f"    All models together: unsure (0 of 2). {RULE}",
    ]
    assert "no face" in to_text(analysis(640, 480))
    broken = Analysis("x\n\x1b[31m\udcff", "", Status.UNREADABLE, error="It is empty.")
    assert to_text(broken) == r"x\n\x1b[31m\xFF: unreadable. It is empty."


def test_percentages_never_claim_certainty() -> None:
    assert [percent(p) for p in (0, 0.0099, 0.01, 0.5, 0.99, 0.9901, 1)] == [
        "<1 %", "<1 %", "1 %", "50 %", "99 %", ">99 %", ">99 %",
    ]  # fmt: skip


def test_names_of_people_stay_readable() -> None:
    assert escape("Zoë 张伟.jpg") == "Zoë 张伟.jpg"


def test_overlay_colours_hot_places_of_the_face_only() -> None:
    image, box = grey(400, 300), Box(100, 50, 150, 200)
    before = image.copy()
    values = np.zeros((56, 56), np.float32)
    values[10:20, 30:40] = 1
    marked = changed(image, overlay(image, analysis(400, 300, face(box, values=values))))
    plain = changed(image, overlay(image, analysis(400, 300, face(box))))
    heat = marked & ~plain
    assert (image == before).all()
    rows, columns = np.nonzero(heat)
    # Where the hot square of the 56 x 56 map lies in the box, give or take the interpolation.
    assert abs(columns.min() - (100 + 30 / 56 * 150)) < 4
    assert abs(columns.max() - (100 + 40 / 56 * 150)) < 4
    assert abs(rows.min() - (50 + 10 / 56 * 200)) < 4
    assert abs(rows.max() - (50 + 20 / 56 * 200)) < 4
    # The rest of the face shows the photo; outside are only the frame and the label.
    assert not marked[140:240, 110:240].any()
    marked[20:255, 95:255] = False
    assert not marked.any()


def test_overlay_is_the_stronger_the_hotter() -> None:
    image, box = grey(400, 400), Box(50, 50, 300, 300)
    values = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    found = analysis(400, 400, face(box, values=values))

    def distance(opacity: float) -> FloatArray:
        out = overlay(image, found, opacity=opacity)[200, 60:340].astype(np.float32)
        return np.asarray(np.abs(out - 128).sum(axis=1), np.float32)

    assert (distance(0) == 0).all()
    assert distance(0.5)[-1] > 4 * distance(0.5)[40] > 0
    assert distance(1.0)[-1] > 1.8 * distance(0.5)[-1]


def test_overlay_of_another_model() -> None:
    image, box = grey(400, 300), Box(100, 80, 150, 200)
    found = analysis(400, 300, face(box, Verdict.FAKE, values=np.ones((8, 8), np.float32)))
    first, second = overlay(image, found), overlay(image, found, model="b")
    assert (first == overlay(image, found, model="a")).all()
    assert not changed(image, second)[120:250, 120:230].any()  # it has no heatmap of this face
    assert (first[:, 100] != second[:, 100]).any()  # and another verdict, hence another colour
    with pytest.raises(ValueError, match="'c' is none of the models"):
        overlay(image, found, model="c")


def test_verdicts_differ_by_more_than_their_colour() -> None:
    image, box = grey(600, 400), Box(200, 150, 150, 200)
    drawn = [
        cv2.cvtColor(overlay(image, analysis(600, 400, face(box, v))), cv2.COLOR_RGB2GRAY) < 40
        for v in Verdict
    ]
    for one, other in itertools.combinations(drawn, 2):
        assert (one[:150] != other[:150]).any()  # black letters on the label above the box


@pytest.mark.parametrize(("width", "height"), [(40, 40), (60, 400), (200, 200), (1200, 900)])
def test_a_label_fits_wherever_the_face_is(width: int, height: int) -> None:
    w, h = max(width // 4, 20), max(height // 3, 20)
    image = grey(width, height)
    for x in (0, width - w):
        for y in (0, height - h):
            out = overlay(image, analysis(width, height, face(Box(x, y, w, h))))
            outside = changed(image, out)
            outside[max(0, y - 5) : y + h + 5, max(0, x - 5) : x + w + 5] = False
            assert outside.any()


def test_labels_do_not_hide_each_other() -> None:
    image = grey(600, 400)

    def coloured(*boxes: Box) -> int:
        out = overlay(image, analysis(600, 400, *(face(box) for box in boxes)))
        return int((out == (230, 110, 20)).all(axis=2).sum())

    one, frame = coloured(Box(200, 150, 150, 200)), 4 * 175 * 2
    twice = coloured(Box(200, 150, 150, 200), Box(200, 150, 150, 200))
    assert twice - one > 0.5 * (one - frame)


def test_letters_grow_with_the_picture() -> None:
    def letters(width: int, height: int) -> int:
        image, box = grey(width, height), Box(width // 3, height // 3, width // 3, height // 3)
        out = overlay(image, analysis(width, height, face(box)))
        above = changed(image, out)[: height // 3 - height // 50]
        return int(np.ptp(np.nonzero(above.any(axis=1))[0])) + 1

    assert 9 <= letters(200, 200) <= 20
    assert 25 <= letters(1000, 800) <= 50
    assert 140 <= letters(6000, 900) <= 250


def test_overlay_without_a_face_is_a_copy() -> None:
    image = grey(50, 40)
    out = overlay(image, analysis(50, 40))
    assert (out == image).all()
    assert out is not image
