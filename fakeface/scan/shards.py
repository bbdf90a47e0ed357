"""Files that hold many pictures: tar archives, as of WebDataset, and Parquet files."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final, NoReturn, TypeAlias

from fakeface.batch import Item
from fakeface.images import decoder as images
from fakeface.images.kinds import refusal
from fakeface.types import DamagedImage, ImageError, ImageTooLarge, UnsupportedFormat

LeftOut: TypeAlias = Callable[[str, str], None]  # is told a reason, in a sentence, and a name

_TAR: Final = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_PARQUET: Final = ".parquet"
_ROWS: Final = 16  # of a Parquet file at a time
_COLUMNS: Final = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp", "bytes")
_COMPRESSED: Final = (b"\x1f\x8b", b"BZ", b"\xfd7")  # how gzip, bzip2 and xz begin


@dataclass(frozen=True, slots=True)
class Stored:
    """A file somewhere.

    Attributes:
        name: for people.
        open: a seekable stream of its bytes.
        part: some of its bytes, from an offset on; may be called in any thread.
    """

    name: str
    open: Callable[[], BinaryIO]
    part: Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Shard:
    """A file that holds many pictures.

    Attributes:
        name: of the file.
        items: its pictures, in order; read each before asking for the next but a few. Where it
            cannot be read, the last item is the file itself, whose `read` says why. The argument
            is told of files that are no pictures.
    """

    name: str
    items: Callable[[LeftOut], Iterator[Item]]


def is_shard(name: str) -> bool:
    """Whether a file is one of these, by its name."""
    return name.lower().endswith((*_TAR, _PARQUET))


def shard(file: Stored, *, picture: Callable[[str], bool]) -> Shard:
    """A file of which `is_shard` is true.

    Args:
        file: where it is.
        picture: whether a name is a picture's; others are taken by their first bytes.
    """
    parquet = file.name.lower().endswith(_PARQUET)
    return Shard(file.name, partial(_rows, file) if parquet else partial(_members, file, picture))


def _members(file: Stored, picture: Callable[[str], bool], left_out: LeftOut) -> Iterator[Item]:
    try:
        with file.open() as stream:
            packed = stream.read(2) in _COMPRESSED
            stream.seek(0)
            with tarfile.open(fileobj=stream, mode="r:*") as archive:
                for info in archive:
                    archive.members.clear()  # type: ignore[attr-defined] # it keeps all
                    name = f"{file.name}/{info.name}"
                    if info.isdir():
                        continue
                    if reason := _refusal(archive, info, picture):
                        left_out(reason, name)
                    else:
                        yield _member(file, name, archive, info, packed)
    except Exception as error:  # of the storage, of tarfile, of a decompressor
        yield _refuse(file.name, DamagedImage(_describe_damage("tar archive", error)))


def _refusal(
    archive: tarfile.TarFile, info: tarfile.TarInfo, picture: Callable[[str], bool]
) -> str | None:
    """Why a file of an archive is not taken, such as the labels in a WebDataset."""
    parts = PurePosixPath(info.name).parts
    if any(part.startswith(".") and part.strip(".") for part in parts):
        return "This is hidden."
    content = archive.extractfile(info) if info.isfile() else None
    if content is None:
        return "This is no ordinary file."
    if picture(info.name):
        return None
    error = refusal(content.read(4096))
    return str(error) if error else None


def _member(
    file: Stored, name: str, archive: tarfile.TarFile, info: tarfile.TarInfo, packed: bool
) -> Item:
    if info.size > images.MAX_BYTES:
        return _refuse(name, ImageTooLarge(images.TOO_MANY_BYTES))
    if not packed and not info.issparse():
        return Item(name, partial(_part, file, info.offset_data, info.size, name))
    content = archive.extractfile(info)  # it can be read in passing only
    return Item(name, partial(bytes, content.read() if content else b""))


def _part(file: Stored, start: int, size: int, name: str) -> bytes:
    try:
        return file.part(start, size)
    except Exception as error:
        raise ImageError(f"{name} cannot be read ({error}); run the command again.") from error


def _rows(file: Stored, left_out: LeftOut) -> Iterator[Item]:
    try:
        import pyarrow.parquet
    except ImportError:
        sentence = "Parquet files need the package pyarrow; run `pip install pyarrow`."
        yield _refuse(file.name, UnsupportedFormat(sentence))
        return
    try:
        with file.open() as stream:
            table = pyarrow.parquet.ParquetFile(stream, pre_buffer=False)
            column = _column(table.schema_arrow)
            if column is None:
                sentence = "This Parquet file has no column of pictures; name one of them `image`."
                yield _refuse(file.name, UnsupportedFormat(sentence))
                return
            row = 0
            for batch in table.iter_batches(_ROWS, columns=[column]):
                for cell in batch.column(0):
                    value = cell.as_py()
                    yield _cell(f"{file.name}/{row}", value)
                    row += 1
    except Exception as error:  # of the storage, of pyarrow
        yield _refuse(file.name, DamagedImage(_describe_damage("Parquet file", error)))


def _cell(name: str, value: Any) -> Item:
    data = value.get("bytes") if isinstance(value, dict) else value
    if data is None:
        return _refuse(name, ImageError("This row holds no picture; its cell is empty."))
    return Item(name, partial(bytes, data))


def _column(schema: Any) -> str | None:
    """The column of pictures: bytes, or a struct with `bytes`, as `datasets` writes them."""
    import pyarrow.types as kinds

    def holds_bytes(kind: Any) -> bool:
        return bool(kinds.is_binary(kind) or kinds.is_large_binary(kind))

    found = [
        field.name
        for field in schema
        if holds_bytes(field.type)
        or (
            kinds.is_struct(field.type)
            and field.type.get_field_index("bytes") >= 0
            and holds_bytes(field.type.field("bytes").type)
        )
    ]
    usual = [name for name in _COLUMNS if name in found]
    return usual[0] if usual else found[0] if len(found) == 1 else None


def _refuse(name: str, error: ImageError) -> Item:
    def read() -> NoReturn:
        raise error

    return Item(name, read)


def _describe_damage(kind: str, error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return f"This {kind} is damaged, or cannot be read to its end ({text}); fetch it again."
