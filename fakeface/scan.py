"""Many pictures -> a table in CSV, one row a file and model, that a stopped scan continues.

A path in the table is spelled as it was given or found. Only a relative path that begins with an
unusual character gets `./` before it: spreadsheets run cells that begin with = + - or @ as
formulas, and the longer spelling names the same file. Bytes of a name that are not UTF-8 are
written as they are.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from io import FileIO, StringIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias

from fakeface.types import Analysis, FakefaceError, Status

if TYPE_CHECKING:
    from fakeface.faces import Detector
    from fakeface.models.engine import Model

Row: TypeAlias = tuple[str, str, str, str, str, str]
COLUMNS: Row = ("path", "status", "model", "faces", "p_fake", "verdict")
EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".heic", ".heif"}
    | {".bmp", ".gif", ".tif", ".tiff"}
)


class TableError(FakefaceError):
    """The table cannot be continued or written."""


@dataclass(slots=True)
class Summary:
    """What became of the files.

    Attributes:
        counts: files by status, those of earlier runs included.
        earlier: how many of them the table held already.
        reasons: sentences -> the files, or folders, that could not be read in this run.
    """

    counts: Counter[Status] = field(default_factory=Counter)
    earlier: int = 0
    reasons: dict[str, list[str]] = field(default_factory=dict)

    @property
    def read(self) -> int:
        """How many files are pictures that could be read, with a face or without."""
        return self.counts[Status.OK] + self.counts[Status.NO_FACE]

    def add_reason(self, reason: str, path: str) -> None:
        """Note why a file could not be read; equal reasons are told once."""
        if reason.startswith(f"{path} "):
            reason = f"This file {reason.removeprefix(path).lstrip()}"
        self.reasons.setdefault(reason, []).append(path)


def scan(
    paths: Iterable[Path],
    table: Table,
    *,
    models: Sequence[Model],
    detector: Detector,
    progress: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> Summary:
    """Judge every picture by every model, and write each down before the next.

    Files that the table has with all of the models are not looked at again; those it has with some
    are judged by the others.

    Args:
        paths: see `find`.
        table: where rows are appended.
        models: at least one.
        detector: see `fakeface.faces`.
        progress: is given the files that are left to do, and hands them out one by one.

    Raises:
        TableError: the table cannot be written.
    """
    from fakeface.analyse import (
        analyse_file,  # takes seconds to import, and a wrong table is told at once
    )

    summary = Summary()
    files = find(paths, skip=table.path, on_error=lambda e: summary.add_reason(*_of_folder(e)))
    missing = {
        path: [m for m in models if (_cell(str(path)), m.name) not in table.done] for path in files
    }
    for path in files:
        if not missing[path]:
            summary.earlier += 1
            summary.counts[table.done[_cell(str(path)), models[0].name]] += 1
    with table:
        for path in progress([path for path in files if missing[path]]):
            analysis = analyse_file(path, models=missing[path], detector=detector)
            table.append(rows(analysis))
            summary.counts[analysis.status] += 1
            if analysis.error:
                summary.add_reason(analysis.error, str(path))
    return summary


def find(
    paths: Iterable[Path],
    *,
    skip: Path | None = None,
    on_error: Callable[[OSError], None] | None = None,
) -> list[Path]:
    """The files to scan, each once.

    Args:
        paths: files, taken whatever their name is, and folders, of which everything below with
            the name of a picture (`EXTENSIONS`) is taken, in sorted order. In a folder, hidden
            files and folders are left out, and links to folders are not followed.
        skip: a file to leave out.
        on_error: is called with the error of each folder that cannot be listed.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not os.path.isdir(path):  # Path.is_dir raises where a name is too long
            found[path] = None
            continue
        for folder, folders, names in os.walk(path, onerror=on_error):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS:
                    found[Path(folder, name)] = None
    return [path for path in found if skip is None or path.absolute() != skip.absolute()]


def rows(analysis: Analysis) -> list[Row]:
    """The rows of one file, one for each of its models."""
    table = []
    for model in analysis.models:
        worst = analysis.worst(model)
        table.append(
            (
                _cell(analysis.file),
                analysis.status.value,
                model,
                str(len(analysis.faces)),
                f"{analysis.p_fake_by(model):.4f}" if worst else "",
                worst.verdict.value if worst else "",
            )
        )
    return table


class Table:
    """The CSV file: what it holds already is read at once; it is written inside a `with` block.

    Attributes:
        path: the file, which need not exist.
        done: the status of each (path, model) that it held at first.

    Raises:
        TableError: the file exists and is no table of a scan, or cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[tuple[str, str], Status] = {}
        self._size = 0  # bytes up to the last whole row
        self._file: FileIO | None = None
        if os.path.exists(path) and not os.path.isfile(path):
            raise TableError(f"{path} is no ordinary file; name another for the table.")
        if not os.path.isdir(path.parent):
            raise TableError(f"{path} cannot be written: there is no folder {path.parent}.")
        try:
            self._read(path.read_bytes())
        except FileNotFoundError:
            pass
        except OSError as error:
            raise TableError(f"{path} cannot be read ({error.strerror}).") from error
        except (ValueError, csv.Error) as error:
            raise TableError(
                f"{path} exists and is not a table of this command; name another file."
            ) from error

    def _read(self, data: bytes) -> None:
        """Take over all rows but a last one that was not written to its end."""
        if line(COLUMNS).startswith(data):
            return  # new, or stopped within the header
        lines = list(StringIO(data.decode("utf-8", "surrogateescape"), newline="\n"))
        if lines[0].encode() != line(COLUMNS):
            raise ValueError("another header")
        reader = csv.reader(lines)
        taken = 0
        for row in reader:
            if len(row) != len(COLUMNS) or not lines[reader.line_num - 1].endswith("\n"):
                if reader.line_num < len(lines):
                    raise ValueError("a row of another length")
                break
            if taken:
                self.done[row[0], row[2]] = Status(row[1])
            taken = reader.line_num
        self._size = sum(len(line.encode("utf-8", "surrogateescape")) for line in lines[:taken])

    def __enter__(self) -> Self:
        try:
            self._file = self.path.open("ab", buffering=0)
            self._file.truncate(self._size)
        except OSError as error:
            raise self._unwritable(error) from error
        if not self._size:
            self.append([COLUMNS])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file:
            self._file.close()

    def append(self, table: Iterable[Row]) -> None:
        """Write rows, and hand them to the operating system before returning."""
        if self._file is None:
            raise ValueError("a table is written inside its with block")
        data = b"".join(map(line, table))
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> TableError:
        if self._file:
            self._file.close()
        return TableError(f"{self.path} cannot be written ({error.strerror}).")


def line(row: Row) -> bytes:
    """One row of CSV; Python 3.11's own writer does not quote a carriage return."""
    quoted = (
        '"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\r\n') else cell for cell in row
    )
    return (",".join(quoted) + "\n").encode("utf-8", "surrogateescape")


def _cell(path: str) -> str:
    """A path that no spreadsheet takes for a formula."""
    plain = path[:1].isalnum() or path[:1] in "._" or Path(path).is_absolute()
    return path if plain else f"./{path}"


def _of_folder(error: OSError) -> tuple[str, str]:
    """Why a folder was not walked, and which."""
    return f"This folder cannot be listed ({error.strerror}).", str(error.filename)
