"""Faces that belong to nobody, for tests.

The tests need artificial faces that are free to ship. These are drawn from a principal
component model of photographs (Turk and Pentland, "Eigenfaces for Recognition", 1991): crude, soft
and plainly artificial. Some of them are trained on, others are kept for the tests, and none of them
is counted in any result.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.decomposition import PCA

from fakeface.faces import open_detector
from fakeface.images import decoder as images
from fakeface.models.preprocess import Preprocessing, face_tensor
from fakeface.progress import progress
from train.datasets.faces import face_cache, find_faces
from train.datasets.manifest import read_manifest, write_manifest

HOW = Preprocessing(128, 0.55, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
ALIGNED = ("ffhq_140k", "ffhq_1024", "celebahq_faceshq")  # their eyes lie in one place
COMPONENTS = 90
SPREAD = 0.75  # of the spread that the photographs have; more of it distorts the faces
QUALITY = 90


def draw(faces: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """New faces from the distribution of old ones.

    Args:
        faces: float (N, 3, S, S) in [0, 1].
        count: how many to draw.
        seed: of the model and of the draws.

    Returns:
        uint8 (S, S, 3) each.
    """
    flat = faces.reshape(len(faces), -1)
    model = PCA(COMPONENTS, svd_solver="randomized", random_state=seed).fit(flat)
    rng = np.random.default_rng(seed)
    place = rng.normal(0, SPREAD, (count, COMPONENTS)) * np.sqrt(model.explained_variance_)
    made = model.inverse_transform(place).reshape(count, *faces.shape[1:])
    return list((made.transpose(0, 2, 3, 1) * 255).clip(0, 255).astype(np.uint8))


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a CSV manifest of photographs")
    parser.add_argument("--out", type=Path, default=Path("runs/eigenfaces"))
    parser.add_argument("--train", type=int, default=150, help="how many to train on")
    parser.add_argument("--test", type=int, default=30, help="how many to keep for tests")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)

    records = [r for r in read_manifest(args.data) if r.split == "train" and r.source in ALIGNED]
    detector = open_detector()
    found = find_faces(records, detector, face_cache(detector))
    faces = [
        face_tensor(images.decode(r.read()), found[r.sha256], HOW)
        for r in progress(records, desc="photographs")
        if r.sha256 in found
    ]
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for i, face in enumerate(draw(torch.stack(faces).numpy(), args.train + args.test, args.seed)):
        path = args.out / f"eigenface_{i:03}.jpg"
        Image.fromarray(face).save(path, quality=QUALITY)
        rows.append(
            {
                "file": path.name,
                "label": "fake",
                "split": "train" if i < args.train else "test",
                "kind": "generated",
                "family": "eigenfaces",
                "source": "eigenfaces",
                "group": path.stem,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
        )
    write_manifest(args.out / "manifest.csv", rows)


if __name__ == "__main__":
    main()
