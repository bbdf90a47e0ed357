"""Many files, some of them ZIP archives -> the files to judge one by one.

Nothing is unpacked to disk, so no name in an archive can point anywhere. An archive is a
stranger's: its directory is measured before it is parsed, each file is read no further than a
picture may be large, and all of them together no further than `MAX_UNPACKED`. What cannot be read
is an item all the same, whose `read` says why, so that one bad file never costs the rest.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, NoReturn

from fakeface.images import decoder as images
from fakeface.names import zip_names
from fakeface.types import DamagedImage, ImageError, ImageTooLarge, UnsupportedFormat

MAX_FILES: Final = 500
MAX_ARCHIVE: Final = 256 * 2**20  # bytes as sent
MAX_UNPACKED: Final = 2**30  # bytes that one archive may come to
_MAX_DIRECTORY: Final = 4 * 2**20  # bytes; some forty thousand files
_TAIL: Final = 22 + 65_535 + 20  # the end record, the longest comment, the ZIP64 locator before it
_PLAIN: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others may claim any memory


@dataclass(frozen=True, slots=True)
class Item:
    """One file of a batch.

    Attributes:
        name: as its owner sees it; of a file in an archive, `ARCHIVE/PATH`. It is never opened.
        read: gives its bytes, or raises an ImageError that says why there are none.
    """

    name: str
    read: Callable[[], bytes]


@contextmanager
def open_items(files: Iterable[tuple[Path | ImageError, str]]) -> Iterator[list[Item]]:
    """The items of a batch, which can be read until the block ends.

    Args:
        files: paths, and the names to report. A ZIP archive, known by its first bytes, stands for
            the files in it; folders and hidden files in it are left out. A path where there is no
            file any more is an item all the same, and so is an error in the place of a path: to
            read that item raises it.

    Yields:
        At most `MAX_FILES` items and, where there were more, one that says so.
    """
    with ExitStack() as stack:
        items = [item for path, name in files for item in _items(path, name, stack)]
        if len(items) > MAX_FILES:
            more = len(items) - MAX_FILES
            sentence = f"A batch holds at most {MAX_FILES} files; send these in another batch."
            items[MAX_FILES:] = [_refuse(f"{more} more files", ImageTooLarge(sentence))]
        yield items


def _items(path: Path | ImageError, name: str, stack: ExitStack) -> list[Item]:
    if isinstance(path, ImageError):
        return [_refuse(name, path)]
    try:
        if not _is_archive(path):
            return [Item(name, lambda: _read_file(path))]
        _measure(path)
        archive = stack.enter_context(zipfile.ZipFile(path))
    except ImageError as error:
        return [_refuse(name, error)]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        sentence = "This ZIP archive is damaged or incomplete; pack it again."
        return [_refuse(name, DamagedImage(sentence))]
    budget = _Budget(MAX_UNPACKED)
    members = [info for info in archive.infolist() if not (_folder(info) or _is_hidden(info))]
    if not members:
        return [_refuse(name, UnsupportedFormat("This ZIP archive holds no files; pack it again."))]
    names = zip_names(members)
    return [_member(archive, i, f"{name}/{own}", budget) for i, own in zip(members, names)]


def _read_file(path: Path) -> bytes:
    """The bytes of a file that is no archive; its path means nothing to whoever sent it."""
    try:
        return images.read_bytes(path)
    except ImageTooLarge:
        raise
    except ImageError as error:
        raise ImageError("This file is no longer there; choose it again.") from error


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, budget: _Budget) -> Item:
    return Item(name, lambda: _read(archive, info, budget))


def _refuse(name: str, error: ImageError) -> Item:
    def read() -> NoReturn:
        raise error

    return Item(name, read)


class _Budget:
    """How many bytes an archive may still come to."""

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, size: int) -> None:
        if size > self.left:
            self.left = 0
            raise ImageTooLarge(
                f"This archive unpacks to more than {MAX_UNPACKED >> 20} MiB, and the rest of it "
                "was left out; make smaller archives."
            )
        self.left -= size


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: _Budget) -> bytes:
    if info.flag_bits & 0x1:
        raise UnsupportedFormat("This file is encrypted; unpack it and send what comes out.")
    if info.compress_type not in _PLAIN:
        raise UnsupportedFormat("This file is packed in an unusual way; pack it as a plain ZIP.")
    if info.file_size > images.MAX_BYTES:  # what the header says, and it may say anything
        raise ImageTooLarge(images.TOO_MANY_BYTES)
    budget.spend(info.file_size)
    try:
        with archive.open(info) as file:
            data = file.read(images.MAX_BYTES)  # zipfile itself stops at the size in the header
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise DamagedImage("This file is damaged within its archive; pack it again.") from error
    if data.startswith(b"PK\x03\x04"):
        raise UnsupportedFormat("This is an archive in an archive; unpack it and send its files.")
    return data


def _folder(info: zipfile.ZipInfo) -> bool:
    return info.filename.endswith("/")  # ZipInfo.is_dir raises where a name is empty


def _is_hidden(info: zipfile.ZipInfo) -> bool:
    """What systems add by themselves: .DS_Store, __MACOSX/, Thumbs.db."""
    parts = PurePosixPath(info.filename.replace("\\", "/")).parts  # some archivers write \ for /
    named = any(part.startswith(".") and part.strip(".") for part in parts)
    return named or "__MACOSX" in parts or parts[-1:] == ("Thumbs.db",)


def _is_archive(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False  # its item says so when it is read


def _measure(path: Path) -> None:
    """Refuse what zipfile would take minutes or gigabytes to list, before it is given it."""
    size = path.stat().st_size
    if size > MAX_ARCHIVE:
        limit = f"{MAX_ARCHIVE >> 20} MiB"
        raise ImageTooLarge(f"This archive is larger than {limit}; make smaller archives.")
    with path.open("rb") as file:
        file.seek(max(0, size - _TAIL))
        tail = file.read()
    # Which of several end records counts is zipfile's business, so all of them must be modest.
    ends = [int.from_bytes(tail[m.end() + 8 : m.end() + 12], "little") for m in _ends(tail)]
    if b"PK\x06\x07" in tail or max(ends, default=0) > _MAX_DIRECTORY:
        raise ImageTooLarge("This archive lists far too many files; make smaller archives.")


def _ends(tail: bytes) -> Iterator[re.Match[bytes]]:
    return re.finditer(rb"PK\x05\x06", tail)
