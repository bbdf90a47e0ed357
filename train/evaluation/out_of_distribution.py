"""What a model learnt from, in short: `python -m train out-of-distribution NAME --data MANIFEST`.

Writes reference.safetensors beside the model's weights, from which the page tells how familiar a
face is to the model. The covariance is fitted to faces of the train split alone, drawn at random,
and the distances that a face is compared with are those of the val split.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from fakeface.faces import open_detector
from fakeface.models import checkpoints
from fakeface.models.engine import Model
from fakeface.models.out_of_distribution import Reference
from fakeface.progress import progress
from fakeface.types import FloatArray
from train.datasets.faces import Faces, FaceSet, find_faces, loader
from train.datasets.records import Record
from train.datasets.sources import read_manifest
from train.evaluation.metrics import Array

SEED = 0
RANK = 64  # of 1280 directions of MobileNetV2 these hold 99 % of the variance


def features(
    model: Model, records: list[Record], faces: Faces, workers: int = 2
) -> tuple[FloatArray, Array]:
    """Features (N, D) and labels (N,) of the records in which a face was found."""
    found = [record for record in records if record.sha256 in faces]
    batches = loader(FaceSet(found, faces, model.preprocessing), 64, workers)
    out = [
        model.forward(face.x.to(model.device))[1]
        for face in progress(batches, total=-(-len(found) // 64), desc=model.name)
    ]
    return np.concatenate(out), np.array([record.label for record in found])


def fit(train: FloatArray, labels: Array, val: FloatArray, rank: int = RANK) -> Reference:
    """A reference from features (N, D) of train with their labels (N,), and of val (M, D)."""
    train = train.astype(np.float64)
    means = np.stack([train[labels == label].mean(axis=0) for label in (0, 1)])
    within = train - means[labels]
    variances, directions = np.linalg.eigh(within.T @ within / len(within))  # rising
    # Of few faces, no more than half of the directions that they span.
    rank = min(rank, len(variances) - 1, max(1, len(within) // 2 - 1))
    fitted = Reference(
        means=means.astype(np.float32),
        directions=directions[:, : -rank - 1 : -1].astype(np.float32),
        variances=variances[: -rank - 1 : -1].astype(np.float32),
        rest=float(variances[:-rank].mean()),
        distances=np.zeros(1, np.float32),
    )
    return Reference(
        fitted.means,
        fitted.directions,
        fitted.variances,
        fitted.rest,
        np.sort(fitted.distance(val)),
    )


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", help="a folder of checkpoints/")
    parser.add_argument("--data", type=Path, required=True, help="the manifest it was trained on")
    parser.add_argument("--detector", help="yunet, mtcnn or haar (default: the best at hand)")
    parser.add_argument(
        "--faces", type=int, default=2000, help="of train at most (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=2, help="threads that decode")
    args = parser.parse_args(argv)

    folder = checkpoints.checkpoints_root() / args.name
    model = checkpoints.load(args.name)
    detector = open_detector(args.detector)
    records = read_manifest(args.data)
    train, val = ([r for r in records if r.split == split] for split in ("train", "val"))
    chosen = np.random.default_rng(SEED).permutation(len(train))[: args.faces]
    train = [train[i] for i in np.sort(chosen)]
    faces = find_faces(train + val, detector, Path("runs") / f"faces-{detector.name}.json")
    known, labels = features(model, train, faces, args.workers)
    seen, _ = features(model, val, faces, args.workers)
    reference = fit(known, labels, seen)
    checkpoints.write_reference(folder, model.card, reference)
    print(f"{folder / checkpoints.REFERENCE}: {len(known)} faces of train, {len(seen)} of val")


if __name__ == "__main__":
    main()
