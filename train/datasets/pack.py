"""Put a data set into shards, to be carried: `python -m train pack --data SPEC --out FOLDER`.

The pictures stay as they are, to the byte. The faces, and the landmarks of the photographs, travel
with them, so that the other machine needs no detector; `--data FOLDER` reads what is written.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from fakeface.faces import YuNet, open_detector
from train.datasets import shards
from train.datasets.donors import find_landmarks
from train.datasets.faces import face_cache, find_faces
from train.datasets.sources import add_data_arguments, read_data


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_data_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="the folder of the shards")
    parser.add_argument(
        "--splits", nargs="+", default=["train", "val"], help="(default: what training reads)"
    )
    parser.add_argument("--detector", help="yunet, mtcnn or haar (default: the best at hand)")
    args = parser.parse_args(argv)

    records = [record for record in read_data(args) if record.split in args.splits]
    if not records:
        parser.error(f"no picture is in a split called {' or '.join(args.splits)}")
    detector = open_detector(args.detector)
    cache = Path("runs")
    faces = find_faces(records, detector, face_cache(detector, cache))
    boxes = {r.sha256: faces[r.sha256].as_list() if r.sha256 in faces else None for r in records}
    found: dict[str, dict[str, object]] = {face_cache(detector).name: dict(boxes)}
    if isinstance(detector, YuNet):
        photographs = [
            r for r in records if r.split == "train" and not r.label and r.sha256 in faces
        ]
        name = f"landmarks-{detector.name}.json"
        points = find_landmarks(photographs, faces, detector, cache / name)
        found[name] = {
            r.sha256: points[r.sha256].tolist() if r.sha256 in points else None for r in photographs
        }
    written = shards.write(records, args.out, found, detector.name)
    size = sum(path.stat().st_size for path in written) / 2**20
    splits = Counter(record.split for record in records)
    told = ", ".join(f"{name} {count}" for name, count in splits.items())
    print(f"{args.out}: {len(written)} shards, {size:.0f} MiB; pictures: {told}")


if __name__ == "__main__":
    main()
