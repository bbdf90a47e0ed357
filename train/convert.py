"""A shipped model as a file for another runtime: `python -m train convert --model NAME --format F`.

What is written is first run on the faces of examples/ and compared with PyTorch, and takes its name
only then. docs/edge.md says how to use each format.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from fakeface.faces import Haar
from fakeface.images import decoder as images
from fakeface.models import checkpoints
from fakeface.models.engine import Model
from train.formats.formats import FORMATS, write_checked
from train.formats.network import describe, take

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FOLDER = Path("build") / "exports"


def example_faces(model: Model) -> torch.Tensor:
    """The faces of the examples and their mirror images, as the model's input."""
    detector, parts = Haar(), []
    for path in sorted(EXAMPLES.glob("*.jpg")):
        image = images.decode(path.read_bytes())
        parts.append(model.tensor(image, [face.box for face in detector.detect(image)]))
    faces = torch.cat(parts)
    return torch.cat([faces, faces.flip(3)]).contiguous()


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, metavar="NAME", help="a folder of checkpoints/")
    parser.add_argument("--format", required=True, choices=FORMATS)
    parser.add_argument("--out", type=Path, help=f"default: {FOLDER}/NAME and the format's suffix")
    parser.add_argument(
        "--card", default="", metavar="ADDRESS", help="of the model card, for the metadata"
    )
    args = parser.parse_args(argv)

    how = FORMATS[args.format]
    how.require()
    model = checkpoints.load(args.model, device="cpu", engine="torch")
    metadata = describe(model.card, precision=how.precision, address=args.card)
    path = args.out or FOLDER / f"{args.model}{how.suffix}"
    faces = example_faces(model)
    differ = write_checked(how, take(model, metadata), path, faces, model.calibration)
    files = path.rglob("*") if path.is_dir() else [path]
    size = np.sum([file.stat().st_size for file in files]) / 1e6
    print(f"{path}: {size:.1f} MB; p(fake) of {len(faces)} faces within {differ:.1g} of PyTorch")
