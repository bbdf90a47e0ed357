"""Fakes that lay one person's face over another's, and the codecs of the augmentation."""

import dataclasses

import cv2
import numpy as np
import pytest
from PIL import Image
from pools import TINY, Whole, record, tiny_pool

from fakeface.models.preprocess import Preprocessing, face_region
from fakeface.types import Box
from train.augment.blend import swap_blend
from train.augment.degrade import UNCHANGED, augment
from train.datasets.donors import Donors, find_landmarks
from train.datasets.faces import FaceSet
from train.datasets.sources import read_manifest
from train.training.finetune import main

FACE = Box(30, 30, 60, 70)
POINTS = np.float32([(48, 55), (72, 55), (60, 68), (50, 82), (70, 82)])
HOW = Preprocessing(32, 0.3, (0.0,) * 3, (1.0,) * 3)


def scene(seed: int) -> np.ndarray:
    """A smooth picture that differs from place to place."""
    noise = np.random.default_rng(seed).integers(0, 255, (120, 120, 3)).astype(np.uint8)
    soft = cv2.GaussianBlur(noise, (0, 0), 4).astype(np.float32)
    return np.clip((soft - soft.mean()) * 8 + 128, 0, 255).astype(np.uint8)


def test_a_swap_changes_the_masked_region_and_not_one_pixel_else():
    image, donor = scene(0), scene(1)
    for seed in range(12):
        out, mask = swap_blend(image, FACE, POINTS, donor, POINTS, np.random.default_rng(seed))
        assert out.shape == image.shape and out.dtype == np.uint8
        assert mask.shape == image.shape[:2] and mask.min() >= 0 and mask.max() <= 1
        assert np.array_equal(out[mask == 0], image[mask == 0])
        assert np.abs(out[mask > 0.4].astype(int) - image[mask > 0.4]).mean() > 5
    again, _ = swap_blend(image, FACE, POINTS, donor, POINTS, np.random.default_rng(11))
    assert np.array_equal(out, again)
    assert np.array_equal(image, scene(0)) and np.array_equal(donor, scene(1))


def test_a_donor_is_laid_on_by_its_landmarks():
    """The target itself as the donor, larger and shifted, comes back to where it was."""
    image = scene(0)
    zoom = np.float32([[1.5, 0, 12], [0, 1.5, -9]])
    donor = cv2.warpAffine(image, zoom, (200, 180), borderMode=cv2.BORDER_REFLECT_101)
    there = np.float32(POINTS @ zoom[:, :2].T + zoom[:, 2])

    def change(points: np.ndarray) -> float:
        """The mean over ten draws of how far the picture is changed."""
        outs = (swap_blend(image, FACE, POINTS, donor, points, np.random.default_rng(seed))[0]
                for seed in range(10))  # fmt: skip
        return float(np.mean([np.abs(out.astype(int) - image).mean() for out in outs]))

    assert change(there) < 0.5 * change(there + np.float32((25, 25)))


def test_a_face_over_the_border_and_one_without_extent_are_taken_too():
    image = scene(0)
    out, mask = swap_blend(
        image, Box(0, 80, 60, 40), POINTS, scene(1), POINTS, np.random.default_rng(0)
    )
    assert mask.any() and out.shape == image.shape
    point = np.zeros((5, 2), np.float32)
    for seed in range(8):
        out, mask = swap_blend(image, FACE, POINTS, scene(1), point, np.random.default_rng(seed))
        assert mask.any() and out.shape == image.shape


def turned(share: float) -> np.ndarray:
    """Landmarks of a face whose nose is that far to the right, in eye distances."""
    points = POINTS.copy()
    points[2, 0] += 24 * share
    return points


def test_a_donor_is_somebody_else_who_looks_the_same_way():
    people = [record(f"{i}.jpg", group=f"person {i // 2}") for i in range(400)]
    landmarks = {r.sha256: turned((i - 200) / 400) for i, r in enumerate(people) if i != 7}
    donors = Donors(people, landmarks)
    rng = np.random.default_rng(0)
    picked = set()
    for _ in range(200):
        donor = donors.pick(people[300], rng)
        assert donor.group != people[300].group
        assert abs(people.index(donor) - 300) <= 42
        picked.add(donor.sha256)
    assert len(picked) > 30
    assert donors.pick(people[7], rng) is None
    alone = people[:2]
    assert Donors(alone, landmarks).pick(alone[0], rng) is None


class Marks:
    """Sees the features of every face at the same shares of the crop, unless it is black."""

    def find_landmarks(self, crop):
        side = np.float32((crop.shape[1], crop.shape[0]))
        return POINTS / 120 * side if crop.any() else None


def test_landmarks_are_given_in_pixels_of_the_picture_and_kept(tmp_path):
    Image.fromarray(scene(0)).save(tmp_path / "a.png")
    Image.new("RGB", (120, 120)).save(tmp_path / "b.png")
    records = [
        dataclasses.replace(record(name), path=tmp_path / name) for name in ("a.png", "b.png")
    ]
    faces = {r.sha256: Box(40, 40, 40, 40) for r in records}
    cache = tmp_path / "landmarks.json"
    found = find_landmarks(records, faces, Marks(), cache)
    assert list(found) == [records[0].sha256]
    at = face_region(Box(40, 40, 40, 40), 120, 120, 0.3)
    wanted = POINTS / 120 * (at.w, at.h) + (at.x, at.y)
    assert found[records[0].sha256] == pytest.approx(wanted, abs=0.1)
    (tmp_path / "a.png").unlink()  # so that the cache must answer
    again = find_landmarks(records, faces, Marks(), cache)
    assert np.array_equal(again[records[0].sha256], found[records[0].sha256])


def test_blends_with_donors_are_fakes_of_two_people(tmp_path):
    records = [r for r in read_manifest(tiny_pool(tmp_path)) if r.label == 0]
    faces = {r.sha256: Box(10, 10, 40, 40) for r in records}
    donors = Donors(records, {r.sha256: POINTS / 2 for r in records})
    own = FaceSet(records, faces, HOW, UNCHANGED, blend=1.0)[0]
    swapped = FaceSet(records, faces, HOW, UNCHANGED, blend=1.0, donors=donors, swap=1.0)[0]
    assert swapped.label == own.label == 1
    assert 0.05 < float(swapped.mask.mean()) < 0.95
    assert (swapped.x - own.x).abs().mean() > 0.01


def test_without_landmarks_a_recipe_that_needs_them_is_refused(tmp_path, monkeypatch):
    pool = tiny_pool(tmp_path)
    recipe = tmp_path / "swaps.py"
    recipe.write_text(
        "from pools import TINY\nimport dataclasses\n"
        "RECIPE = dataclasses.replace(TINY, blend_share=0.4, swap_blends=0.5)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("train.training.finetune.open_detector", lambda name: Whole())
    with pytest.raises(SystemExit, match="--detector yunet"):
        main([str(recipe), "--data", str(pool), "--init", "random"])


@pytest.mark.parametrize("codec", ["webp", "avif"])
def test_crops_are_saved_with_each_codec(codec):
    only = dataclasses.replace(
        TINY.augmentation, clean=0.0, colour=0.0, blur=0.0, sharpen=0.0,
        noise=(0.0, 1.0), resize=(0.0, 1.0, 1.0), turn=(0.0, 0.0), jpeg=(1.0, 40, 60),
    )  # fmt: skip
    crop = scene(0)
    as_jpeg = augment(crop, only, np.random.default_rng(3))
    other = augment(crop, dataclasses.replace(only, **{codec: 1.0}), np.random.default_rng(3))
    assert other.shape == crop.shape and other.dtype == np.uint8
    turned_back = min(np.abs(other.astype(int) - c).mean() for c in (crop, crop[:, ::-1]))
    assert 0 < turned_back < 12
    assert not np.array_equal(other, as_jpeg)
