"""Whom the answer warns of: `python -m train warned NAME --data SPEC --pictures FOLDER`.

Paintings, drawings, dolls and renders should be warned of, and photographs should not. Measured is
the share of pictures whose largest face is unlike those that the model learnt from
(`fakeface.models.out_of_distribution`), the share that the detector doubts, and the share of
either: of photographs by family, and of the pictures in each folder of FOLDER.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from fakeface.faces import Detector, is_judgeable, largest, open_detector
from fakeface.images import decoder as images
from fakeface.models import checkpoints
from fakeface.models.engine import Model
from fakeface.progress import progress
from fakeface.quality import UNUSUAL
from fakeface.types import ImageError
from train.datasets.sources import add_data_arguments, read_data
from train.evaluation.metrics import wilson


class Warned(NamedTuple):
    """What is said of the largest face of a picture.

    Attributes:
        unusual: it is unlike those that the model learnt from.
        doubted: the detector is not sure of it.
    """

    unusual: bool
    doubted: bool


def look(model: Model, detector: Detector, path: Path) -> Warned | None:
    """One picture; None where it cannot be read or has no face that can be judged."""
    if model.reference is None:
        raise SystemExit(f"error: run python -m train out-of-distribution {model.name} first.")
    try:
        picture = images.read_picture(path.read_bytes(), path.name)
    except ImageError:
        return None
    face = largest(detector.detect(picture.rgb))
    if face is None or not is_judgeable(face.box.w, face.box.h):
        return None
    style = model.style(model.tensor(picture.rgb, [face.box]))
    return Warned(bool(model.reference.score(style)[0] < UNUSUAL), face.doubted)


def describe(name: str, found: Iterable[Warned | None]) -> str:
    """A row of the table: shares with their 95 % intervals."""
    faces = [one for one in found if one is not None]
    if not faces:
        return f"{name}: no face"
    counts = {
        "unusual": sum(f.unusual for f in faces),
        "doubted": sum(f.doubted for f in faces),
        "warned": sum(f.unusual or f.doubted for f in faces),
    }
    shares = {key: wilson(hits, len(faces)) for key, hits in counts.items()}
    row = (f"{k} {s['value']:.1%} ({s['low']:.1%} to {s['high']:.1%})" for k, s in shares.items())
    return f"{name}: {len(faces)} faces; {', '.join(row)}"


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", help="a folder of checkpoints/")
    add_data_arguments(parser)
    parser.add_argument("--splits", nargs="*", default=["test"], help="whose photographs")
    parser.add_argument("--pictures", type=Path, help="a folder of folders of other pictures")
    parser.add_argument("--detector", help="yunet, mtcnn or haar (default: the best at hand)")
    args = parser.parse_args(argv)

    model = checkpoints.load(args.name, engine="torch")
    detector = open_detector(args.detector)
    paths: dict[str, list[Path]] = {}
    for record in read_data(args):
        if record.label == 0 and record.split in args.splits:
            paths.setdefault(f"{record.split}/{record.family}", []).append(record.path)
    for folder in sorted(args.pictures.iterdir()) if args.pictures else ():
        paths[folder.name] = sorted(path for path in folder.rglob("*") if path.is_file())
    found = {
        name: [look(model, detector, path) for path in progress(own, desc=name)]
        for name, own in paths.items()
    }
    for split in args.splits:
        own = [own for name, own in found.items() if name.startswith(f"{split}/")]
        print(describe(split, chain.from_iterable(own)))
    for name, own in sorted(found.items()):
        print(describe(name, own))


if __name__ == "__main__":
    main()
