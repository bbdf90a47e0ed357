"""The rows of a table, and how CSV and JSONL spell them.

Both are UTF-8, whatever the names are; `fakeface.names` says how. In CSV, a relative path that
begins with an unusual character gets `./` before it: spreadsheets run cells that begin with = + -
or @ as formulas, and the longer spelling names the same file.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import PurePath
from typing import Any, NamedTuple, Protocol

from fakeface.names import spell
from fakeface.types import Analysis, Status

BOM = b"\xef\xbb\xbf"  # by which Excel knows that a file is UTF-8


class Row(NamedTuple):
    """One file, judged by one model.

    Attributes:
        path: of the file, spelled by `path_cell`.
        status: a `types.Status`.
        model: its name.
        faces: how many were judged; those too small for that are not counted.
        p_fake: of the picture, rounded to four digits; None without a face. Of several faces it is
            a score that does not grow with their number.
        verdict: on the most suspicious face; None without one.
        weights: the sha256 of the model's weights; empty where it is not known, as in tables of
            0.8.0 and before.
        too_small: how many faces were found and are too small to be judged; None where that is not
            known, as of a file that could not be read and in tables of 0.8.0 and before.
    """

    path: str
    status: str
    model: str
    faces: int
    p_fake: float | None
    verdict: str | None
    weights: str
    too_small: int | None = None


COLUMNS = Row._fields


def rows(analysis: Analysis, weights: Mapping[str, str] | None = None) -> list[Row]:
    """The rows of one file, one for each of its models.

    Args:
        analysis: of the file.
        weights: model -> sha256 of its weights; None to ask `analysis.judges`, which a file that
            could not be read has none of.
    """
    if weights is None:
        weights = {judge.model: judge.sha256 for judge in analysis.judges}
    table = []
    for model in analysis.models:
        worst, p_fake = analysis.worst(model), analysis.p_fake_by(model)
        table.append(
            Row(
                path_cell(analysis.file),
                analysis.status.value,
                model,
                len(analysis.faces),
                None if p_fake is None else round(p_fake, 4),
                worst.verdict.value if worst else None,
                weights.get(model, ""),
                None if analysis.status is Status.UNREADABLE else len(analysis.too_small),
            )
        )
    return table


def path_cell(path: str) -> str:
    """A path as `names.spell` has it, and so that no spreadsheet takes it for a formula."""
    plain = path[:1].isalnum() or path[:1] in "._" or PurePath(path).is_absolute()
    return spell(path if plain else f"./{path}")


@dataclass(frozen=True, slots=True)
class Content:
    """What a table holds already.

    Attributes:
        rows: all but a last one that was not written to its end.
        size: the bytes of the header and of these rows.
        current: whether its columns and its byte order mark are those that are asked for now; else
            it has to be written anew before it is continued.
    """

    rows: list[Row]
    size: int
    current: bool


class Format(Protocol):
    """How a table is written; it grows by appending."""

    def head(self) -> bytes:
        """What stands before the rows."""
        ...

    def encode(self, row: Row) -> bytes:
        """One row, with the end of its line."""
        ...

    def decode(self, data: bytes) -> Content:
        """What was written; a ValueError or csv.Error for any other file."""
        ...


class Csv:
    """A header and a line a row; with a byte order mark first where Excel is to read it."""

    def __init__(self, bom: bool = False) -> None:
        self.bom = bom

    def head(self) -> bytes:
        """See `Format`."""
        return header(self.bom)

    def encode(self, row: Row) -> bytes:
        """See `Format`."""
        return line(row)

    def decode(self, data: bytes) -> Content:
        """See `Format`; the columns may be those of an older version."""
        if BOM.startswith(data):
            return Content([], 0, current=True)
        marked = data.startswith(BOM)
        self.bom |= marked
        text = data.removeprefix(BOM).decode("utf-8", "surrogateescape")  # as 0.8.0 wrote names
        if header().decode().startswith(text):  # it was stopped within the header, or after it
            size = len(data) if text.endswith("\n") else 0
            return Content([], size, current=not size or self.bom == marked)
        lines = list(StringIO(text, newline="\n"))
        reader = csv.reader(lines)
        columns = next(reader)
        if lines[0].encode() != line(columns) or tuple(columns[:3]) != COLUMNS[:3]:
            raise ValueError("another header")
        if not set(columns) <= set(COLUMNS):
            raise ValueError("unknown columns")
        found, taken = [], reader.line_num
        for cells in reader:
            if len(cells) != len(columns) or not lines[reader.line_num - 1].endswith("\n"):
                if reader.line_num < len(lines):
                    raise ValueError("a row of another length")
                break
            found.append(_row(dict(zip(columns, cells))))
            taken = reader.line_num
        size = sum(len(line.encode("utf-8", "surrogateescape")) for line in lines[:taken])
        current = tuple(columns) == COLUMNS and self.bom == marked
        return Content(found, size + marked * len(BOM), current)


class JsonLines:
    """An object a row and line, with the columns as keys; numbers are numbers, nothing is null."""

    _START = b'{"path": "'

    def head(self) -> bytes:
        """See `Format`."""
        return b""

    def encode(self, row: Row) -> bytes:
        """See `Format`."""
        return (json.dumps(row._asdict(), ensure_ascii=False) + "\n").encode()

    def decode(self, data: bytes) -> Content:
        """See `Format`."""
        end = data.rfind(b"\n") + 1
        rest = data[end:]
        if not (rest.startswith(self._START) or self._START.startswith(rest)):
            raise ValueError("not the beginning of a row")
        found = [_row(json.loads(line)) for line in data[:end].splitlines()]
        return Content(found, end, current=True)


def header(bom: bool = False) -> bytes:
    """The first line of a CSV, for Excel with a byte order mark before it."""
    return (BOM if bom else b"") + line(COLUMNS)


def line(cells: Iterable[str | int | float | None]) -> bytes:
    """One line of CSV; Python 3.11's own writer does not quote a carriage return."""
    texts = (f"{c:.4f}" if isinstance(c, float) else "" if c is None else str(c) for c in cells)
    quoted = ('"' + t.replace('"', '""') + '"' if set(t) & set(',"\r\n') else t for t in texts)
    return (",".join(quoted) + "\n").encode()


def _row(cells: Mapping[str, Any]) -> Row:
    """A row from what was read; ValueError or TypeError where it is none."""
    if not set(cells) <= set(COLUMNS):
        raise ValueError("unknown columns")
    path, p_fake, too_small = str(cells["path"]), cells.get("p_fake"), cells.get("too_small")
    if "weights" not in cells:
        path = spell(path)  # 0.8.0 wrote the bytes of names as they were
    path.encode()  # a ValueError where it is no text
    return Row(
        path=path,
        status=Status(cells["status"]).value,
        model=str(cells["model"]),
        faces=int(cells["faces"]),
        p_fake=None if p_fake in (None, "") else float(p_fake),
        verdict=str(cells["verdict"]) if cells.get("verdict") else None,
        weights=str(cells.get("weights") or ""),
        too_small=None if too_small in (None, "") else int(too_small),
    )
