"""A face is looked for in some frames of a moving picture, and what was looked at is told."""

from __future__ import annotations

import io
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from picture_files import encode
from PIL import Image

from fakeface.analysis import analyse
from fakeface.contract import schema
from fakeface.images.decoder import go_to_frame, read_picture
from fakeface.models import checkpoints
from fakeface.report.html import to_html
from fakeface.report.overlay import overlay
from fakeface.report.record import to_dict
from fakeface.report.text import to_text

CASE = Path(__file__).parent / "data" / "cases" / "fadein.webp"


@pytest.fixture
def model(untrained: Path):
    return checkpoints.load("untrained", device="cpu")


def moving(kind: str, portrait: bytes, frames: int, face_at: set[int]) -> bytes:
    """A film of a grey wall, with the portrait in some frames."""
    face = Image.open(io.BytesIO(portrait)).convert("RGB").resize((256, 300))
    walls = [Image.new("RGB", face.size, (100 + 4 * i, 125, 130)) for i in range(frames)]
    shown = [face if i in face_at else walls[i] for i in range(frames)]
    exact = {"lossless": True} if kind == "WEBP" else {}  # else it drops frames that look alike
    return encode(shown[0], kind, save_all=True, append_images=shown[1:], **exact)


def test_the_case_that_fades_in(model, haar) -> None:
    found = analyse(CASE.read_bytes(), models=[model], detector=haar)
    assert found.frames == 2
    assert found.frames_looked_at == (0, 1)
    assert len(found.faces) == 1


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "GIF", "AVIF", "MPO", "TIFF"])
def test_a_face_in_a_later_frame_is_found_and_told(kind: str, portrait, model, haar) -> None:
    data = moving(kind, portrait, 9, {4})
    picture = read_picture(data, "film")
    found = analyse(picture, models=[model], detector=haar)
    assert (found.frames, found.frames_looked_at, found.frame) == (9, (0, 2, 4), 4)
    assert len(found.faces) == 1
    record = to_dict(found)
    jsonschema.validate(record, schema())
    assert (record["frames"], record["frames_looked_at"]) == (9, [0, 2, 4])
    words = "9 frames or pages; looked at: 1, 3 and 5; what is said here is of number 5."
    assert words in to_text(found)
    assert words in to_html(found, picture)
    shown = go_to_frame(picture, 4).rgb
    assert shown.std() > picture.rgb.std() + 10
    assert np.abs(overlay(picture, found).astype(int) - shown).mean() < 15  # the face, not the wall


def test_no_face_in_any_frame(portrait, model, haar) -> None:
    found = analyse(moving("WEBP", portrait, 30, set()), models=[model], detector=haar)
    assert found.faces == ()
    assert found.frames_looked_at == (0, 7, 14, 22, 29)
    assert "looked at: 1, 8, 15, 23 and 30; none of these has a face." in to_text(found)


def test_the_first_frame_is_enough_where_it_has_a_face(portrait, model, haar) -> None:
    found = analyse(moving("GIF", portrait, 5, {0, 1, 2, 3, 4}), models=[model], detector=haar)
    assert found.frames_looked_at == (0,)


def test_a_still_says_nothing_of_frames(portrait, model, haar) -> None:
    found = analyse(portrait, models=[model], detector=haar)
    assert (found.frames, found.frames_looked_at, found.notes) == (1, (0,), ())
    assert "frames" not in to_text(found)


def test_notes_on_the_file_are_told_everywhere(portrait, model, haar) -> None:
    face = Image.open(io.BytesIO(portrait)).convert("RGB")
    picture = read_picture(encode(face, "PNG", icc_profile=b"no profile"))
    found = analyse(picture, models=[model], detector=haar)
    (note,) = found.notes
    assert "profile" in note
    assert note in to_text(found)
    assert note in to_html(found, picture)
    assert to_dict(found)["notes"] == [note]
