"""Where labelled pictures come from: one record a file, whatever the data set."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fakeface.types import FakefaceError


class SourceError(FakefaceError):
    """A data set is missing or is not laid out as it should be."""


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
    """

    path: Path
    label: int
    split: str
    kind: str
    source: str
    family: str
    group: str
    sha256: str

    def read(self) -> bytes:
        """The bytes of the file."""
        return self.path.read_bytes()


def read_manifest(path: Path) -> list[Record]:
    """The records of a CSV manifest whose `file` column is relative to its own folder.

    Raises:
        SourceError: there is no such file, or a column is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                Record(
                    path=path.parent / row["file"],
                    label=("real", "fake").index(row["label"]),
                    split=row["split"],
                    kind=row["kind"],
                    source=row["source"],
                    family=row["family"],
                    group=row["group"] or row["sha256"],
                    sha256=row["sha256"],
                )
                for row in csv.DictReader(file)
            ]
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}); give a manifest.") from error
    except (KeyError, ValueError) as error:
        raise SourceError(f"{path} is no manifest ({error}); see train/README.md.") from error


def check_groups(records: Iterable[Record]) -> None:
    """Refuse records that have a group, or one file's bytes, in more than one split.

    Raises:
        SourceError: names the first offender and how many there are.
    """
    for what in ("group", "sha256"):
        splits: dict[str, set[str]] = {}
        for record in records:
            splits.setdefault(getattr(record, what), set()).add(record.split)
        crossing = sorted(key for key, found in splits.items() if len(found) > 1)
        if crossing:
            raise SourceError(
                f"{len(crossing)} {what}s stand in more than one split, first {crossing[0]}; "
                "results would be worthless."
            )


def fingerprint(records: Sequence[Record]) -> str:
    """A short hash of what was trained on: the sorted sha256 and label of every file."""
    lines = sorted(f"{record.sha256} {record.label}\n" for record in records)
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]
