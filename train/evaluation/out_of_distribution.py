"""What a model learnt from, in short: `python -m train out-of-distribution NAME --data SPEC`.

Writes reference.safetensors beside the model's weights, from which the page tells how familiar a
face is to the model. It holds the style of faces of the train split, photographs and fakes, drawn
at random; the distances that a face is compared with are those of the photographs of the
calibration part of val. Of each backbone the record says which maps tell the style.
"""

from __future__ import annotations

import argparse
import dataclasses

import numpy as np

from fakeface.faces import open_detector
from fakeface.models import checkpoints
from fakeface.models.engine import Model
from fakeface.models.out_of_distribution import Reference
from fakeface.progress import progress
from fakeface.types import FloatArray
from train.datasets.faces import Faces, FaceSet, face_cache, find_faces, loader
from train.datasets.records import Record
from train.datasets.sources import add_data_arguments, read_data
from train.datasets.splits import calibration

SEED = 0
RANK = 64
_BATCH = 32


def styles(model: Model, records: list[Record], faces: Faces, workers: int = 2) -> FloatArray:
    """The style (N, D) of the records in which a face was found."""
    found = [record for record in records if record.sha256 in faces]
    batches = loader(FaceSet(found, faces, model.preprocessing), _BATCH, workers)
    bar = progress(batches, total=-(-len(found) // _BATCH), desc=model.name)
    return np.concatenate([model.style(face.x.to(model.device)) for face in bar])


def fit(train: FloatArray, val: FloatArray, rank: int = RANK) -> Reference:
    """A reference from the styles (N, D) of train and (M, D) of val."""
    train = train.astype(np.float64)
    mean, scale = train.mean(axis=0), train.std(axis=0)
    scale[scale == 0] = 1  # a channel that is always the same tells nothing
    _, singular, directions = np.linalg.svd((train - mean) / scale, full_matrices=False)  # falling
    variances = singular**2 / len(train)
    # Of few faces, no more than half of the directions that they span.
    rank = min(rank, train.shape[1] - 1, max(1, len(train) // 2 - 1))
    fitted = Reference(
        mean=mean.astype(np.float32),
        scale=scale.astype(np.float32),
        directions=directions[:rank].T.astype(np.float32),
        variances=variances[:rank].astype(np.float32),
        rest=float(variances[rank:].sum() / (train.shape[1] - rank)),
        distances=np.zeros(1, np.float32),
    )
    return dataclasses.replace(fitted, distances=np.sort(fitted.distance(val)))


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", help="a folder of checkpoints/")
    add_data_arguments(parser)
    parser.add_argument("--detector", help="yunet, mtcnn or haar (default: the best at hand)")
    parser.add_argument(
        "--faces", type=int, default=500, help="of train at most (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=2, help="threads that decode")
    args = parser.parse_args(argv)

    folder = checkpoints.checkpoints_root() / args.name
    model = checkpoints.load(args.name, engine="torch")
    detector = open_detector(args.detector)
    records = read_data(args)
    train = [r for r in records if r.split == "train"]
    val = [r for r in calibration(records) if r.label == 0]
    chosen = np.random.default_rng(SEED).permutation(len(train))[: args.faces]
    train = [train[i] for i in np.sort(chosen)]
    faces = find_faces(train + val, detector, face_cache(detector))
    known = styles(model, train, faces, args.workers)
    seen = styles(model, val, faces, args.workers)
    checkpoints.write_reference(folder, model.card, fit(known, seen))
    print(f"{folder / checkpoints.REFERENCE}: {len(known)} faces of train, {len(seen)} of val")


if __name__ == "__main__":
    main()
