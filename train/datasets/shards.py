"""Pictures in a few tar files, to be carried elsewhere; `python -m train pack` writes them.

Beside the shards stand the manifest, the faces that a detector found, the landmarks of the
photographs, and, last of all, `shards.json` with the sha256 of each shard. The files within are
the data set's own, to the byte, so a run on them is the same run.
"""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fakeface.files import write_atomically
from fakeface.progress import progress
from fakeface.types import RGB, Face, FloatArray
from train.datasets.manifest import read_manifest, write_manifest
from train.datasets.records import Record, SourceError, digest

INDEX = "shards.json"
LARGEST = 40 << 20  # bytes of a shard
_BLOCK = tarfile.BLOCKSIZE


class Packed:
    """Stands where a detector would: the faces were found before the pictures were packed.

    Args:
        folder: of the shards.

    Attributes:
        name: of the detector that looked.
    """

    def __init__(self, folder: Path) -> None:
        self.name: str = _read_index(folder)["detector"]

    def detect(self, image: RGB) -> tuple[Face, ...]:
        """Asked only if the file of the faces is missing.

        Raises:
            SourceError: says so.
        """
        raise self._lacks("faces")

    def smallest(self, image: RGB) -> int:
        """See `detect`."""
        raise self._lacks("faces")

    def find_landmarks(self, crop: RGB) -> FloatArray | None:
        """Asked only if the file of the landmarks is missing; see `detect`."""
        raise self._lacks("landmarks")

    def _lacks(self, what: str) -> SourceError:
        return SourceError(
            f"Beside the shards, {what}-{self.name}.json is missing or lacks some pictures; carry "
            "it there, or pack them again."
        )


def is_packed(path: Path) -> bool:
    """Whether a folder holds shards."""
    return (path / INDEX).is_file()


def write(
    records: Sequence[Record],
    folder: Path,
    found: Mapping[str, Mapping[str, Any]],
    detector: str,
    largest: int = LARGEST,
) -> list[Path]:
    """Put the files of records into shards; a folder that is written again is replaced.

    Args:
        records: whose files they are.
        folder: is made.
        found: JSON files to be put beside them: by the name of a file, its content by sha256.
        detector: the name of what found the faces.
        largest: bytes of a shard; a single larger file has one of its own.

    Returns:
        The shards.

    Raises:
        SourceError: a file is not what the manifest says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)  # until all is written
    for stale in folder.glob("*.tar"):
        stale.unlink()
    rows, hashes = [], {}
    for number, part in enumerate(_parts(records, largest)):
        path = folder / f"{number:03}.tar"
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
            for record in part:
                name = f"{record.sha256}{record.path.suffix.lower()}"
                data = record.read()
                if digest(data) != record.sha256:
                    raise SourceError(
                        f"{record.path} is not the file of the manifest; its sha256 differs."
                    )
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
                rows.append(_row(record, f"{path.stem}/{name}"))
        hashes[path.name] = digest(path.read_bytes())
    write_manifest(folder / "manifest.csv", rows)
    for file, content in found.items():
        write_atomically(folder / file, json.dumps(content).encode())
    index = {"detector": detector, "shards": hashes}
    write_atomically(folder / INDEX, json.dumps(index, indent=1).encode())
    return [folder / name for name in hashes]


def _parts(records: Iterable[Record], largest: int) -> Iterator[list[Record]]:
    """The records, in order, in parts that fit into a shard each."""
    part: list[Record] = []
    used = 0
    seen: set[str] = set()
    for record in records:
        if record.sha256 in seen:
            raise SourceError(f"{record.path} stands in the manifest twice; leave one row out.")
        seen.add(record.sha256)
        needed = (1 + -(-record.path.stat().st_size // _BLOCK)) * _BLOCK  # with its header
        # An archive ends in two empty blocks and is filled up to a whole record.
        if part and used + needed > largest - tarfile.RECORDSIZE - 2 * _BLOCK:
            yield part
            part, used = [], 0
        part.append(record)
        used += needed
    if part:
        yield part


def _row(record: Record, file: str) -> dict[str, str]:
    """A line of the manifest."""
    values = dataclasses.asdict(record)
    del values["path"]
    return {"file": file, **values, "label": ("real", "fake")[record.label]}


def read(folder: Path, cache: Path) -> list[Record]:
    """The records of a packed folder, after its shards were checked and unpacked.

    Args:
        folder: that `write` wrote; a shard that was unpacked once may be gone.
        cache: the folder to unpack below; a run that was stopped goes on where it stood.

    Raises:
        SourceError: a shard is missing or damaged.
    """
    hashes: dict[str, str] = _read_index(folder)["shards"]
    root = cache / "shards" / f"{folder.name}-{digest(json.dumps(hashes).encode())[:8]}"
    waiting = [name for name in hashes if not (root / Path(name).stem).is_dir()]
    missing = [name for name in waiting if not (folder / name).is_file()]
    if missing:
        raise SourceError(f"{folder} lacks {', '.join(missing)}; carry them there too.")
    for name in progress(waiting, desc="shards", disable=not waiting):
        _unpack(folder / name, hashes[name], root / Path(name).stem)
    return [
        dataclasses.replace(record, path=root / record.path.relative_to(folder))
        for record in read_manifest(folder / "manifest.csv")
    ]


def _unpack(shard: Path, sha256: str, place: Path) -> None:
    """The files of a shard in a folder, which takes its name when all are there."""
    data = shard.read_bytes()
    if digest(data) != sha256:
        raise SourceError(f"{shard} is damaged: its sha256 is another; carry it again.")
    part = place.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(part, filter="data")
    part.rename(place)


def _read_index(folder: Path) -> dict[str, Any]:
    index: dict[str, Any] = json.loads((folder / INDEX).read_text())
    return index
