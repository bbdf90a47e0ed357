"""No picture stands on two sides of a split, not even as another file."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fakeface.faces import open_detector
from fakeface.types import Box
from tests.pools import record
from train.datasets.faces import face_cache, find_faces
from train.datasets.near_duplicates import find_correlated, find_near_duplicates, shrink
from train.datasets.sources import read_manifest

POOL = os.environ.get("FAKEFACE_POOL", "")


def scene(seed: int, side: int = 200) -> np.ndarray:
    """A picture of soft blobs."""
    noise = np.random.default_rng(seed).normal(0, 1, (side, side, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), side / 16)
    return np.clip(128 + soft * 60 / soft.std(), 0, 255).astype(np.uint8)


def test_copies_across_splits_are_found_whole_and_by_face(tmp_path):
    one, framed = scene(1), scene(2, 400)
    framed[120:280, 100:260] = cv2.resize(one[20:180, 20:180], (160, 160))
    files = {
        "train": one,
        "val": cv2.resize(one, (64, 64), interpolation=cv2.INTER_AREA),  # a smaller copy
        "test": framed,  # its face in another picture
        "test_wild": scene(3),
    }
    records, faces = [], {}
    for split, picture in files.items():
        path = tmp_path / f"{split}.jpg"
        Image.fromarray(picture).save(path, quality=70)
        records.append(record(str(path), split=split))
    faces[records[0].sha256] = Box(40, 40, 120, 120)
    faces[records[2].sha256] = Box(120, 140, 120, 120)
    found = {(p.first.split, p.second.split, p.by) for p in find_near_duplicates(records, faces)}
    assert found == {("train", "val", "whole picture"), ("train", "test", "face")}


def test_pictures_of_one_split_may_look_alike():
    same = np.stack([shrink(scene(1))] * 3)
    assert list(find_correlated(same, np.array(["val"] * 3), 0.9)) == []
    apart = list(find_correlated(same, np.array(["train", "val", "val"]), 0.9))
    assert [pair[:2] for pair in apart] == [(0, 1), (0, 2)]


def test_flat_pictures_look_like_nothing():
    flat = np.full((90, 90, 3), 130, np.uint8)
    assert not shrink(flat).any()


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not POOL, reason="FAKEFACE_POOL names no pool; give the path of a manifest")
def test_the_pool_has_no_near_duplicates_across_splits(monkeypatch):
    if os.environ["DATA_TESTS_YUNET"]:
        monkeypatch.setenv("FAKEFACE_YUNET", os.environ["DATA_TESTS_YUNET"])
    records = read_manifest(Path(POOL))
    detector = open_detector()
    faces = find_faces(records, detector, face_cache(detector))
    found = find_near_duplicates(records, faces)
    told = [
        f"{p.correlation:.3f} by {p.by}: {p.first.path} ({p.first.split}), "
        f"{p.second.path} ({p.second.split})"
        for p in found
    ]
    assert not found, "\n".join([f"{len(found)} pairs", *told])
