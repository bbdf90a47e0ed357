"""One labelled file, and what must hold for a set of them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fakeface.files import write_atomically
from fakeface.progress import progress
from fakeface.types import FakefaceError

log = logging.getLogger("train")


class SourceError(FakefaceError):
    """A data set cannot be had, or is not laid out as it should be."""


@dataclass(frozen=True, slots=True)
class Record:
    """One labelled file.

    Attributes:
        path: the file.
        label: 1 for fake, 0 for real.
        split: train, val, test, or a set of its own such as test_unseen.
        kind: photo, generated, edited or swap.
        source: where it came from; results are given for each.
        family: the generator family or kind of photograph, what is left out at a time.
        group: what must stay on one side of a split (a person, a video).
        sha256: of the bytes.
        sequence: frames of one take, which may be judged together; empty for a single picture.
        generator: what made a fake, where a source holds several; empty for the source itself.
    """

    path: Path
    label: int
    split: str
    kind: str
    source: str
    family: str
    group: str
    sha256: str
    sequence: str = ""
    generator: str = ""

    def read(self) -> bytes:
        """The bytes of the file."""
        return self.path.read_bytes()


def find_crossing(records: Iterable[Record], what: str) -> list[str]:
    """The values of one field (group, sha256) that occur in more than one split, sorted."""
    splits: dict[str, set[str]] = {}
    for record in records:
        splits.setdefault(getattr(record, what), set()).add(record.split)
    return sorted(key for key, found in splits.items() if len(found) > 1)


def check_groups(records: Sequence[Record]) -> int:
    """Refuse records that have a group, or one file's bytes, in more than one split.

    Returns:
        How many there are, for the log; it is 0.

    Raises:
        SourceError: names the first offender and how many there are.
    """
    overlap = 0
    for what in ("group", "sha256"):
        found = find_crossing(records, what)
        if found:
            raise SourceError(
                f"{len(found)} {what}s stand in more than one split, first {found[0]}; "
                "results would be worthless."
            )
        overlap += len(found)
    return overlap


def drop_copies(records: Sequence[Record]) -> list[Record]:
    """The records less those whose bytes stand in another split too: test keeps them, then val.

    So training is what loses by a copy, and the test set stays whole.
    """
    order = ("train", "val", "test")
    keeps: dict[str, str] = {}
    for record in records:
        keeps[record.sha256] = max(
            record.split, keeps.get(record.sha256, record.split), key=order.index
        )
    kept = [record for record in records if record.split == keeps[record.sha256]]
    if len(kept) < len(records):
        log.info("dropped %d copies of pictures of another split", len(records) - len(kept))
    return kept


def drop_swaps(records: Sequence[Record]) -> list[Record]:
    """All but face swaps, which are another, harder task; all, where there are no other fakes."""
    rest = [record for record in records if record.kind != "swap"]
    return rest if any(record.label for record in rest) else list(records)


def only(records: Iterable[Record], sources: Collection[str]) -> list[Record]:
    """The records of these sources, to train on one pair of them alone.

    Raises:
        SourceError: a name is not that of any record's source.
    """
    records = list(records)
    unknown = sorted(set(sources) - {record.source for record in records})
    if unknown:
        raise SourceError(f"There is no source {unknown[0]!r}; see the manifest's column source.")
    return [record for record in records if record.source in sources]


def share(group: str) -> float:
    """A number in [0, 1) that depends on the group alone: the same on every machine."""
    return int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) / 16**8


def fingerprint(records: Sequence[Record]) -> str:
    """A short hash of data: of every file its sha256, label, split, family and group, sorted.

    Those of releases up to 0.8.0 were of sha256 and label alone, and so were others.
    """
    lines = sorted(f"{r.sha256} {r.label} {r.split} {r.family} {r.group}\n" for r in records)
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def digests(files: Sequence[Path], root: Path, cache: Path) -> dict[Path, str]:
    """The sha256 of each file below `root`; of a file as large and as old as before, from memory.

    Args:
        cache: the folder that the answers are kept in.
    """
    name = f"{root.name}-{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]}.json"
    store = cache / "digests" / name
    known: dict[str, list[int | str]] = json.loads(store.read_text()) if store.exists() else {}
    found: dict[Path, str] = {}
    fresh: list[tuple[Path, list[int | str]]] = []
    for file in files:
        stat = file.stat()
        seen = known.get(file.relative_to(root).as_posix(), [])
        if seen[:2] == [stat.st_size, stat.st_mtime_ns]:
            found[file] = str(seen[2])
        else:
            fresh.append((file, [stat.st_size, stat.st_mtime_ns]))
    try:
        for file, stamp in progress(fresh, desc=f"sha256 of {root.name}", disable=not fresh):
            found[file] = digest(file.read_bytes())
            known[file.relative_to(root).as_posix()] = [*stamp, found[file]]
    finally:
        if fresh:
            write_atomically(store, json.dumps(known).encode())
    return found


def digest(data: bytes) -> str:
    """The sha256 of the bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
