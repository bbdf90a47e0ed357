"""Training and serving must see the same tensor."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from fakeface import analysis
from fakeface.images import decoder as images
from fakeface.models.checkpoints import load
from fakeface.models.preprocess import Preprocessing, face_region, face_tensor
from fakeface.types import Box
from train.datasets.faces import FaceSet, find_faces, loader
from train.datasets.sources import read_manifest

HOW = Preprocessing(64, 0.3, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


def manifest(folder: Path, data: bytes) -> Path:
    """A manifest of one fake."""
    (folder / "one.jpg").write_bytes(data)
    row = {
        "file": "one.jpg", "label": "fake", "split": "val", "kind": "generated", "source": "s",
        "family": "f", "group": "g", "sha256": hashlib.sha256(data).hexdigest(),
    }  # fmt: skip
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    return path


def test_training_and_serving_make_the_same_tensor_bit_for_bit(
    tmp_path, portrait, haar, untrained, monkeypatch
):
    model = load("untrained", device="cpu")
    records = read_manifest(manifest(tmp_path, portrait))
    faces = find_faces(records, haar, tmp_path / "faces.json")
    ((trained, label, _),) = loader(FaceSet(records, faces, model.preprocessing), 8, 1)

    served = []
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda batch: served.append(batch) or forward(batch))
    analysis.analyse(portrait, models=[model], detector=haar)

    assert label.tolist() == [1.0]
    assert trained.shape == (1, 3, 96, 96)
    first, copies = served
    assert copies.shape == (3, 3, 96, 96)
    assert torch.equal(trained, first), "the picture as it came"


def test_the_cache_of_faces_gives_what_the_detector_gave(tmp_path, portrait, haar):
    records = read_manifest(manifest(tmp_path, portrait))
    cache = tmp_path / "faces.json"
    first = find_faces(records, haar, cache)

    class Refuses:
        name = "haar"

        def detect(self, image):
            raise AssertionError("the cache was not used")

    assert find_faces(records, Refuses(), cache) == first
    assert first[records[0].sha256] == haar.detect(images.decode(portrait))[0].box


def test_the_tensor_is_the_normalised_crop():
    image = np.zeros((100, 200, 3), np.uint8)
    image[20:80, 60:120] = (255, 128, 0)
    tensor = face_tensor(image, Box(60, 20, 60, 60), Preprocessing(30, 0.0, HOW.mean, HOW.std))
    wanted = [(1 - 0.5) / 0.2, (128 / 255 - 0.4) / 0.3, (0 - 0.3) / 0.4]
    assert tensor.dtype == torch.float32
    assert torch.allclose(tensor.mean((1, 2)), torch.tensor(wanted), atol=1e-4)


def test_left_is_left_and_top_is_top():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:32, :32] = 255
    tensor = face_tensor(image, Box(0, 0, 64, 64), HOW)[0]
    assert tensor[8, 8] > tensor[8, 56]
    assert tensor[8, 8] > tensor[56, 8]


@pytest.mark.parametrize(
    ("box", "wanted"),
    [
        (Box(50, 40, 20, 40), Box(34, 34, 52, 52)),  # in the middle: a square of 1.3 times 40
        (Box(0, 0, 20, 40), Box(0, 0, 52, 52)),  # in a corner: moved inwards
        (Box(80, 60, 40, 40), Box(68, 48, 52, 52)),  # beyond the other corner
        (Box(10, 0, 90, 100), Box(5, 0, 100, 100)),  # too large: as much as there is
        (Box(0, 0, 1, 1), Box(0, 0, 1, 1)),
    ],
)
def test_the_region_is_a_square_inside_the_picture(box, wanted):
    assert face_region(box, 120, 100, 0.3) == wanted


def test_an_augmentation_gets_the_crop_and_decides_what_is_resized():
    image = np.full((80, 80, 3), 10, np.uint8)
    seen = []

    def whiten(crop):
        seen.append(crop.shape)
        return np.full((7, 7, 3), 255, np.uint8)

    tensor = face_tensor(image, Box(20, 20, 40, 40), HOW, whiten)
    assert seen == [(52, 52, 3)]
    assert torch.allclose(tensor[0], torch.tensor((1 - 0.5) / 0.2))
