"""What is to be scanned -> its files one by one, of which none is read yet.

Files, folders, patterns, lists of all these, addresses that fsspec knows (s3://, gs://, hf:// ...),
and, in any of these places, tar archives and Parquet files that hold pictures. A file of an archive
or a row of a Parquet file is named `ARCHIVE/NAME` or `FILE/ROW`.

A file that is named is taken whatever it is. In a folder, a file is taken if its name ends like a
picture's, and else if its first bytes are those of one. What is left out is counted, with
the reason.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, TypeAlias

from fakeface.batch import Item
from fakeface.images import decoder as images
from fakeface.images.kinds import refusal
from fakeface.names import to_path
from fakeface.scan.shards import LeftOut, Shard, Stored, is_shard, shard
from fakeface.types import FakefaceError, ImageError, ImageTooLarge

EXTENSIONS: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".heic", ".heif"}
    | {".bmp", ".gif", ".tif", ".tiff"}
)
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


class SourceError(FakefaceError):
    """What is to be scanned cannot be listed at all."""


def find(
    arguments: Iterable[str],
    *,
    skip: Collection[Path] = (),
    left_out: LeftOut = lambda reason, name: None,
) -> Iterator[Item | Shard]:
    """The files to scan, each name once.

    Args:
        arguments: files, folders, patterns as of `glob` (`**` for any folders), addresses, and
            `@FILE` for a list with one of these a line. A file of just that name comes first.
        skip: files to leave out without a word.
        left_out: is told of each file and folder that is not taken. In a folder these are hidden
            ones, files that are no pictures, and links to folders that were scanned already; all
            other links are followed.

    Raises:
        SourceError: a list or an address cannot be read.
    """
    skipped = {path.absolute() for path in skip}

    def tell(reason: str, name: str) -> None:
        if Path(name).absolute() not in skipped:
            left_out(reason, name)

    names: set[str] = set()
    seen: _Seen = {}
    for path, source in _each(arguments, seen, tell):
        if source.name not in names and (path is None or path.absolute() not in skipped):
            names.add(source.name)
            yield source


# Device and inode of each folder that was listed and list that was read -> its first path.
_Seen: TypeAlias = dict[tuple[int, int], Path]
_Found: TypeAlias = Iterator[tuple[Path | None, Item | Shard]]  # with its path, where it has one


def _each(arguments: Iterable[str], seen: _Seen, left_out: LeftOut) -> _Found:
    for argument in arguments:
        if _ADDRESS.match(argument):
            for remote in _remote(argument, left_out):
                yield None, remote
            continue
        path = to_path(argument)
        if os.path.isdir(path):  # Path.is_dir raises where a name is too long
            yield from _walk(path, seen, left_out)
        elif os.path.lexists(path):
            yield path, _local(path)
        elif argument.startswith("@"):
            yield from _each(_lines(Path(argument[1:]), seen, left_out), seen, left_out)
        elif glob.has_magic(argument) and (found := sorted(glob.glob(argument, recursive=True))):
            yield from _each(found, seen, left_out)
        else:
            yield path, _local(path)  # whoever reads it says that there is none


def _lines(path: Path, seen: _Seen, left_out: LeftOut) -> Iterator[str]:
    """The entries of a list; names in it may be of any bytes."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if seen.setdefault((status.st_dev, status.st_ino), path) is not path:
                left_out("This list is read already; lists may name each other.", str(path))
                return
            for line in file:
                entry = line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
                if entry.strip():
                    yield os.fsdecode(entry)
    except OSError as error:
        raise SourceError(
            f"The list {path} cannot be read ({error.strerror}); check its name."
        ) from error


def _local(path: Path) -> Item | Shard:
    if is_shard(path.name):
        return shard(
            Stored(str(path), partial(_open, path), partial(_part_of_file, path)),
            picture=_named_picture,
        )
    return Item(str(path), partial(images.read_bytes, path))


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _part_of_file(path: Path, start: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size)


def _walk(top: Path, seen: _Seen, left_out: LeftOut) -> _Found:
    """A folder and all below: first what is really there, then what links lead to.

    By the folders in `seen`, loops are noticed.
    """
    links: list[Path] = []
    waiting = [top]
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        try:
            status = folder.stat()
            first = seen.setdefault((status.st_dev, status.st_ino), folder)
            if first != folder:
                left_out("This folder is scanned already, by another path to it.", str(folder))
            if first is not folder:
                continue
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            left_out(f"This folder cannot be listed ({error.strerror}).", str(folder))
            continue
        below: list[Path] = []
        for entry in entries:
            path = folder / entry.name
            if entry.name.startswith("."):
                left_out("This is hidden.", str(path))
            elif os.path.isdir(path):  # which raises nothing, whatever a link leads to
                (links if entry.is_symlink() else below).append(path)
            elif _named_picture(entry.name) or is_shard(entry.name):
                yield path, _local(path)
            elif reason := _refusal(path):
                left_out(reason, str(path))
            else:
                yield path, _local(path)
        waiting += reversed(below)


def _named_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in EXTENSIONS


def _refusal(path: Path) -> str | None:
    """Why a file of a folder, whose name is not a picture's, is none either."""
    try:
        if not path.is_file():  # reading a pipe may never end
            return "This is no ordinary file."
        with path.open("rb") as file:
            error = refusal(file.read(4096))
        return str(error) if error else None
    except OSError as error:
        return f"This file cannot be read ({error.strerror})."


def _remote(address: str, left_out: LeftOut) -> Iterator[Item | Shard]:
    """The files at an address of fsspec: one, those below a folder, or those of a pattern."""
    scheme = address.partition("://")[0]
    try:
        import fsspec
    except ImportError as error:
        raise SourceError(f"{scheme}:// needs the package fsspec; run `pip install fsspec`.") from (
            error
        )
    try:
        system, path = fsspec.core.url_to_fs(address)
        if glob.has_magic(path):
            paths = sorted(system.glob(path))
            named = True
        else:
            # A list may hold a million of these, and to ask for each takes its time.
            named = _named_picture(path) or is_shard(path) or not system.isdir(path)
            paths = [path] if named else sorted(system.find(path))
    except ImportError as error:  # of the package for this scheme, which fsspec names
        raise SourceError(f"{scheme}:// cannot be read: {error}.") from error
    except Exception as error:  # each kind of storage has its own
        raise SourceError(f"{address} cannot be listed ({_words(error)}).") from error
    for path in paths:
        name = system.unstrip_protocol(path)
        if is_shard(path):
            stored = Stored(name, partial(system.open, path, "rb"), partial(_part, system, path))
            yield shard(stored, picture=_named_picture)
        elif not (named or _named_picture(path)) and (reason := _remote_refusal(system, path)):
            left_out(reason, name)
        else:
            yield Item(name, partial(_read_remote, system, path, name))


def _part(system: Any, path: str, start: int, size: int) -> bytes:
    data: bytes = system.cat_file(path, start=start, end=start + size)
    return data


def _remote_refusal(system: Any, path: str) -> str | None:
    try:
        reason = refusal(_part(system, path, 0, 4096))
        return str(reason) if reason else None
    except Exception as error:
        return f"This file cannot be read ({_words(error)})."


def _read_remote(system: Any, path: str, name: str) -> bytes:
    try:
        if (system.size(path) or 0) > images.MAX_BYTES:
            raise ImageTooLarge(images.TOO_MANY_BYTES)
        data: bytes = system.cat_file(path)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(
            f"{name} cannot be read ({_words(error)}); check its name and your access."
        ) from error
    return data


def _words(error: Exception) -> str:
    """The message of an error of another library, on one line and of moderate length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}…"
