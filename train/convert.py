"""A shipped model as a file for another runtime: `python -m train convert --model NAME --format F`.

What is written is first run on the faces of examples/ and compared with PyTorch, and takes its name
only then. onnx-int8 is fitted to faces of train, and becomes a file of the model as well, for
`python -m fakeface analyse --int8`; without --data, the model's own int8 network gets the metadata
of today, as is needed after a new calibration. docs/edge.md says how to use each format.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from fakeface.faces import Haar, open_detector
from fakeface.images import decoder as images
from fakeface.models import checkpoints
from fakeface.models.card import INT8
from fakeface.models.engine import Model
from fakeface.types import FloatArray
from train.datasets.faces import FaceSet, face_cache, find_faces
from train.datasets.records import Record
from train.datasets.sets import choose
from train.datasets.sources import add_data_arguments, read_data
from train.formats.formats import FORMATS, write_checked
from train.formats.network import describe, take

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FOLDER = Path("build") / "exports"
SEED = 0


def example_faces(model: Model) -> torch.Tensor:
    """The faces of the examples and their mirror images, as the model's input."""
    detector, parts = Haar(), []
    for path in sorted(EXAMPLES.glob("*.jpg")):
        image = images.decode(path.read_bytes())
        parts.append(model.tensor(image, [face.box for face in detector.detect(image)]))
    faces = torch.cat(parts)
    return torch.cat([faces, faces.flip(3)]).contiguous()


def fitting_faces(
    model: Model, records: Sequence[Record], count: int, detector: str | None = None
) -> FloatArray:
    """Faces of train to fit int8 to, half of them photographs, (N, 3, S, S)."""
    rng = np.random.default_rng(SEED)
    train, chosen = choose(records, "train"), []
    for label in (0, 1):
        own = [record for record in train if record.label == label]
        chosen += [own[i] for i in rng.permutation(len(own))[: count // 2]]
    eyes = open_detector(detector)
    faces = find_faces(chosen, eyes, face_cache(eyes))
    found = FaceSet([r for r in chosen if r.sha256 in faces], faces, model.preprocessing)
    return np.stack([found[i].x.numpy() for i in range(len(found))])


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, metavar="NAME", help="a folder of checkpoints/")
    parser.add_argument("--format", required=True, choices=FORMATS)
    parser.add_argument("--out", type=Path, help=f"default: {FOLDER}/NAME and the format's suffix")
    parser.add_argument(
        "--card", default="", metavar="ADDRESS", help="of the model card, for the metadata"
    )
    add_data_arguments(parser, required=False)
    parser.add_argument(
        "--faces", type=int, default=300, help="of train, that int8 is fitted to (default: 300)"
    )
    parser.add_argument("--detector", help="yunet, mtcnn or haar (default: the best at hand)")
    args = parser.parse_args(argv)

    how = FORMATS[args.format]
    how.require()
    model = checkpoints.load(args.model, device="cpu", engine="torch")
    metadata = describe(model.card, precision=how.precision, address=args.card)
    path = args.out or FOLDER / f"{args.model}{how.suffix}"
    folder = checkpoints.checkpoints_root() / args.model
    fitting, fitted = None, b""
    if how.precision == "int8" and args.data:
        fitting = fitting_faces(model, read_data(args), args.faces, args.detector)
    elif how.precision == "int8" and INT8 in model.card.files:
        fitted = checkpoints.read_int8(folder, model.card)
    faces, network = example_faces(model), take(model, metadata, fitting, fitted)
    differ = write_checked(how, network, path, faces, model.calibration)
    if how.precision == "int8" and args.out is None:
        checkpoints.write_int8(folder, model.card, path.read_bytes())
    files = path.rglob("*") if path.is_dir() else [path]
    size = np.sum([file.stat().st_size for file in files]) / 1e6
    print(f"{path}: {size:.1f} MB; p(fake) of {len(faces)} faces within {differ:.1g} of PyTorch")
