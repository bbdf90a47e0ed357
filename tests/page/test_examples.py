"""The examples are free to ship, said to be what they are, and made by a script."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from examples import draw
from fakeface.page.examples import read_examples

FOLDER = Path(draw.__file__).parent


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"), np.int16)


@pytest.mark.parametrize("name", sorted(draw.draw()))
def test_the_script_makes_what_is_shipped(name: str) -> None:
    made, shipped = pixels(draw.draw()[name]), pixels((FOLDER / name).read_bytes())
    assert made.shape == shipped.shape
    # Another version of a codec may round otherwise.
    assert np.abs(made - shipped).mean() < 1


def test_the_page_says_what_each_is() -> None:
    listed = read_examples(FOLDER)
    pictures = {p.name for p in FOLDER.iterdir() if p.suffix in (".jpg", ".png")}
    assert {example.path.name for example in listed} == pictures == set(draw.draw())
    readme = (FOLDER / "README.md").read_text("utf-8")
    for example in listed:
        assert example.path.is_file() and example.title and example.made
        assert f"`{example.path.name}`" in readme
    fakes = {example.path.name for example in listed if example.made.startswith("Fake: ")}
    assert fakes == {"face_swap.jpg", "self_blend.jpg"}


def test_a_folder_without_a_list_has_no_examples(tmp_path: Path) -> None:
    assert read_examples(tmp_path) == ()


def test_the_fakes_differ_from_their_photographs_on_the_face_alone() -> None:
    hopper, collins = draw.hopper(), draw.collins()
    swapped = draw.swap_face(hopper, draw.HOPPER, collins, draw.COLLINS)
    changed = np.abs(swapped.astype(int) - collins).max(axis=2) > 0
    inside = draw.oval(draw.COLLINS, collins.shape[:2]) > 0
    assert changed[inside].mean() > 0.9
    near = cv2.dilate(inside.astype(np.uint8), np.ones((31, 31), np.uint8)) > 0
    assert not changed[~near].any()
    assert np.array_equal(swapped, draw.swap_face(hopper, draw.HOPPER, collins, draw.COLLINS))
