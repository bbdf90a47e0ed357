"""A pool of forty pictures to train on in seconds."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image

from fakeface.types import RGB, Box, Face
from train.datasets import manifest
from train.datasets.records import Record
from train.datasets.sources import read_manifest
from train.training.recipes import Phase, Recipe
from train.training.run import Run

TINY = Recipe(
    backbone="mobilenetv2_100",
    size=32,
    samples=24,
    head_samples=24,
    batch=8,
    phases=(Phase("last stage", 1, 1, 1e-3), Phase("all layers", 5, 2, 1e-3)),
)


class Whole:
    """A detector to which every picture is a face."""

    name = "yunet"

    def detect(self, image: RGB) -> tuple[Face, ...]:
        return (Face(Box(0, 0, image.shape[1], image.shape[0])),)

    def smallest(self, image: RGB) -> int:
        return 1


def record(name: str, **changes: Any) -> Record:
    """A photograph for training that lies nowhere."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    plain = Record(Path(name), 0, "train", "photo", "s", "f", name, digest)
    return dataclasses.replace(plain, **changes)


def row(**changes: str) -> dict[str, str]:
    """A line of a manifest."""
    return {
        "file": "a.jpg", "label": "fake", "split": "train", "kind": "generated", "source": "s",
        "family": "f", "group": "g", "sha256": "0" * 64, **changes,
    }  # fmt: skip


def write_manifest(folder: Path, rows: list[dict[str, str]]) -> Path:
    """A manifest of these lines."""
    path = folder / "manifest.csv"
    manifest.write_manifest(path, rows)
    return path


def tiny_pool(folder: Path) -> Path:
    """Forty pictures: fakes are reddish, photographs bluish, and each stands alone."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(40):
        label = ("real", "fake")[i % 2]
        picture = rng.integers(0, 90, (60, 60, 3), np.uint8)
        picture[..., 0 if label == "fake" else 2] += 120
        Image.fromarray(picture).save(folder / f"{i}.png")
        digest = hashlib.sha256((folder / f"{i}.png").read_bytes()).hexdigest()
        split = "val" if i >= 30 else "train"
        rows.append(row(file=f"{i}.png", label=label, split=split, group=str(i), sha256=digest,
                        kind="photo" if label == "real" else "generated"))  # fmt: skip
    return write_manifest(folder, rows)


def make_run(pool: Path, folder: Path, recipe: Recipe = TINY) -> Run:
    """A run on a tiny pool that saves after each step, the same at every call."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    records = read_manifest(pool)
    faces = {r.sha256: Box(10, 10, 40, 40) for r in records}
    return Run(recipe, records, faces, folder, 1, Accelerator(cpu=True), 0.0)
