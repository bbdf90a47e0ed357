"""The file of a scan's rows: locked while it is written, continued after any stop.

A name that ends in .jsonl makes JSON Lines, one in .parquet a Parquet file, any other CSV. Parquet
cannot grow: its rows are kept in a file of JSON Lines beside it, `NAME.part.jsonl`, until the scan
ends or is stopped; should it be killed, the next scan goes on from there.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from io import BytesIO, FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fakeface.files import write_atomically
from fakeface.scan.lock import TableError, lock, lock_path
from fakeface.scan.rows import COLUMNS, Content, Csv, Format, JsonLines, Row
from fakeface.types import Status


class Table:
    """A table, written inside a `with` block; what it holds already is read there.

    Attributes:
        path: the file, which need not exist.
        done: the status of each (path, model, weights) that it held at first. A row of a table
            of 0.8.0 names no weights, so it counts for none: its file is judged again.
    """

    def __init__(self, path: Path, *, bom: bool = False) -> None:
        """Look at what is there, so that a wrong name is told before models are loaded.

        Args:
            path: see above.
            bom: of a CSV, begin it with a byte order mark, by which Excel knows UTF-8.

        Raises:
            TableError: the file exists and is no table of a scan, or cannot be read.
        """
        self.path = path
        self.done: dict[tuple[str, str, str], Status] = {}
        self._parquet = path.suffix.lower() == ".parquet"
        plain = path.suffix.lower() not in (".jsonl", ".parquet")
        self._format: Format = Csv(bom) if plain else JsonLines()
        if bom and not plain:
            raise TableError(f"{path} is no CSV, and only a CSV takes a byte order mark.")
        # Where rows are appended.
        self._rows = path.with_name(f"{path.name}.part.jsonl") if self._parquet else path
        self._size = 0  # bytes up to the last whole row
        self._file: FileIO | None = None
        self._open = ExitStack()
        if os.path.exists(path) and not os.path.isfile(path):
            raise TableError(f"{path} is no ordinary file; name another for the table.")
        if not os.path.isdir(path.parent):
            raise TableError(f"{path} cannot be written: there is no folder {path.parent}.")
        self._read()

    @property
    def files(self) -> tuple[Path, ...]:
        """What is no source of its own scan: the table, its lock, its rows while they are apart."""
        return self.path, lock_path(self.path), self._rows

    def _read(self) -> Content:
        """Take over what is done."""
        try:
            finished = _read_parquet(self.path) if self._parquet else []
            data = self._rows.read_bytes() if self._rows.exists() else b""
            content = self._format.decode(data)
        except OSError as error:
            raise TableError(f"{self.path} cannot be read ({error.strerror}).") from error
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise TableError(
                f"{self.path} exists and is not a table of this command; name another file."
            ) from error
        self.done = {
            (row.path, row.model, row.weights): Status(row.status)
            for row in (*finished, *content.rows)
        }
        return content

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(lock(self.path))
            content = self._read()  # again: another scan may have written since
            try:
                self._prepare(content)
            except OSError as error:
                raise self._unwritable(error) from error
            self._open = stack.pop_all()
        return self

    def _prepare(self, content: Content) -> None:
        """Open the file for appending, with the columns of today and whole rows only."""
        self._size = content.size
        if not content.current:
            data = self._format.head() + b"".join(map(self._format.encode, content.rows))
            write_atomically(self._rows.resolve(), data)
            self._size = len(data)
        self._file = self._rows.open("ab", buffering=0)
        self._file.truncate(self._size)
        if not self._size:
            self._write(self._format.head())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._open:
            try:
                self._close()
            except OSError as problem:
                if error is None:
                    raise self._unwritable(problem) from problem

    def _close(self) -> None:
        """Force the rows to the disk, and make the Parquet file of them."""
        if self._file and not self._file.closed:
            with self._file as file:
                os.fsync(file.fileno())
        if self._parquet:
            rows = self._format.decode(self._rows.read_bytes()).rows
            # A scan may have been killed between the next two steps, so rows may be there twice.
            every = dict.fromkeys(_read_parquet(self.path) + rows)
            write_atomically(self.path.resolve(), _parquet(list(every)))
            self._rows.unlink()

    def append(self, rows: Iterable[Row]) -> None:
        """Write rows, and hand them to the operating system before returning.

        Raises:
            TableError: they cannot be written; then none of them is there.
        """
        if self._file is None:
            raise ValueError("a table is written inside its with block")
        try:
            self._write(b"".join(map(self._format.encode, rows)))
        except OSError as error:
            raise self._unwritable(error) from error

    def _write(self, data: bytes) -> None:
        assert self._file is not None  # noqa: S101  (for the types: it is open within the block)
        size, left = self._size + len(data), data
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            with suppress(OSError):
                self._file.truncate(self._size)  # half a row helps nobody
            raise
        self._size = size

    def _unwritable(self, error: OSError) -> TableError:
        return TableError(f"{self.path} cannot be written ({error.strerror}).")


def _read_parquet(path: Path) -> list[Row]:
    """The rows of a finished table; ValueError where it is another file."""
    parquet = _pyarrow(path)
    if not path.exists():
        return []
    found = parquet.read_table(path)
    if found.column_names != list(COLUMNS):
        raise ValueError("other columns")
    return [Row(**cells) for cells in found.to_pylist()]


def _parquet(rows: list[Row]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet

    text = ("path", "status", "model", "verdict", "weights")
    types = {
        "faces": pa.int32(),
        "too_small": pa.int32(),
        "p_fake": pa.float64(),
        **dict.fromkeys(text, pa.string()),
    }
    schema = pa.schema([(name, types[name]) for name in COLUMNS])
    out = BytesIO()
    pyarrow.parquet.write_table(
        pa.Table.from_pylist([row._asdict() for row in rows], schema), out, compression="zstd"
    )
    return out.getvalue()


def _pyarrow(path: Path) -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise TableError(
            f"{path} needs the package pyarrow; run `pip install pyarrow`, or name a file that "
            "ends in .csv or .jsonl."
        ) from error
    return pyarrow.parquet
