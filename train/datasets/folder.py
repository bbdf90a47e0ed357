"""Pictures in folders named real and fake, at any depth."""

from __future__ import annotations

import dataclasses
from pathlib import Path, PurePath

from fakeface.scan.sources import EXTENSIONS
from train.datasets.records import Record, SourceError, digests, drop_copies, share

LABELS = {"real": 0, "fake": 1}
SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
VAL, TEST = 0.1, 0.1


def innermost(path: PurePath, names: dict[str, str] | dict[str, int]) -> str | None:
    """The last folder of a relative path that has one of the names, in lower case."""
    return next((part for part in reversed(path.parent.parts) if part.lower() in names), None)


def list_pictures(folder: Path) -> list[Path]:
    """The files below a folder whose names are those of pictures, but for hidden ones, sorted."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in EXTENSIONS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def read_folder(folder: Path, cache: Path) -> list[Record]:
    """The pictures below real/ and fake/.

    The split is the folder's that is called train, val (valid ...) or test on the way to a
    picture; where there is none, the picture's hash decides, and where there is no val, a part of
    train becomes it. Every picture is a group of its own: use a manifest where that is not so.

    Args:
        folder: anything above folders of those names.
        cache: the folder that the hashes of files are kept in.

    Raises:
        SourceError: there is no picture of both labels.
    """
    files = {path.relative_to(folder): path for path in list_pictures(folder)}
    labelled = {name: path for name, path in files.items() if innermost(name, LABELS)}
    known = digests(list(labelled.values()), folder, cache)
    records = []
    for name, path in labelled.items():
        real_or_fake, part = innermost(name, LABELS), innermost(name, SPLITS)
        label = LABELS[str(real_or_fake).lower()]
        between = [p for p in name.parent.parts if p not in (real_or_fake, part)]
        source = "/".join([folder.name, *between])
        records.append(
            Record(
                path=path,
                label=label,
                split=SPLITS[part.lower()] if part else split_of(known[path]),
                kind="generated" if label else "photo",
                source=source,
                family=source,
                group=known[path],
                sha256=known[path],
            )
        )
    if {record.label for record in records} != {0, 1}:
        raise SourceError(
            f"{folder} holds no pictures below both real/ and fake/; lay them out so, or give a "
            "manifest (see train/README.md)."
        )
    return carve_val(drop_copies(records))


def split_of(group: str) -> str:
    """Train, val or test, by the group's name."""
    at = share(group)
    return "test" if at < TEST else "val" if at < TEST + VAL else "train"


def carve_val(records: list[Record], part: float = VAL) -> list[Record]:
    """Where no record is of val, those of a part of the training groups become it."""
    if any(record.split == "val" for record in records):
        return records
    return [
        dataclasses.replace(record, split="val")
        if record.split == "train" and share(record.group) < part
        else record
        for record in records
    ]
