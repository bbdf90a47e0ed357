"""CSV files with a row a picture; train/README.md tells their columns."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from train.datasets.records import Record, SourceError


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
                    sequence=row.get("sequence") or "",
                    generator=row.get("generator") or "",
                )
                for row in csv.DictReader(file)
            ]
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}); give a manifest.") from error
    except (KeyError, ValueError) as error:
        raise SourceError(f"{path} is no manifest ({error}); see train/README.md.") from error


def write_manifest(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write what `read_manifest` reads: a row a picture, at least one, all of the same columns."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
