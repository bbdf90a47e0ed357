"""Directories of tags, as TIFF and EXIF have them, read within bounds.

A small file may declare thousands of tags that all point to the same megabytes, so values are
only copied where they are asked for. Whatever points beyond the data is passed over.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

ORIENTATION: Final = 0x0112
UNREADABLE: Final = "The EXIF data are damaged, so they could not say which side of it is up."
_PREFIX: Final = b"Exif\0\0"
_MAX_PREFIXES: Final = 8  # some writers put two

# NumPy's name of each kind of number, without the order of its bytes.
_DTYPES: Final = {1: "u1", 2: "u1", 3: "u2", 4: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4"}
_DTYPES_BIG: Final = {13: "u4", 16: "u8", 17: "i8", 18: "u8"}
_SIZES: Final = {kind: int(name[1]) for kind, name in (_DTYPES | _DTYPES_BIG).items()} | {
    5: 8,
    10: 8,
    11: 4,
    12: 8,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag: its kind of value, how many there are, and where in the data they lie."""

    kind: int
    count: int
    place: int

    @property
    def size(self) -> int:
        """Bytes of the value; 0 where the kind is unknown."""
        return self.count * _SIZES.get(self.kind, 0)


class Block:
    """The bytes of a TIFF, or of EXIF data without their prefix.

    Raises:
        ValueError: they do not begin as a TIFF does.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        self.data = memoryview(data)
        order = {b"II": "<", b"MM": ">"}.get(bytes(self.data[:2]))
        version = bytes(self.data[2:4])[:: 1 if order == "<" else -1]
        if order is None or version not in (b"*\0", b"+\0"):
            raise ValueError("not a TIFF")
        self.order, self.big = order, version == b"+\0"

    def first(self) -> int:
        """Where the first directory is."""
        return self._place(8 if self.big else 4)

    def directory(self, start: int) -> tuple[dict[int, Entry], int]:
        """The tags of a directory, and where the next is (0: nowhere).

        Of a tag that comes twice the first counts. Raises struct.error where the data end early.
        """
        width = 8 if self.big else 4
        head = self.order + ("HHQ" if self.big else "HHI")
        (count,) = struct.unpack_from(self.order + ("Q" if self.big else "H"), self.data, start)
        at = start + (8 if self.big else 2)
        entries: dict[int, Entry] = {}
        for _ in range(count):
            tag, kind, number = struct.unpack_from(head, self.data, at)
            place = at + 4 + width
            if number * _SIZES.get(kind, 1) > width:  # it does not fit into the entry
                place = self._place(at + 4 + width)
            entries.setdefault(tag, Entry(kind, number, place))
            at += 4 + 2 * width
        try:
            return entries, self._place(at)
        except struct.error:
            return entries, 0

    def numbers(self, entry: Entry, most: int) -> npt.NDArray[np.int64]:
        """The first whole numbers of a tag, at most so many; none where they are not at hand."""
        dtype = (_DTYPES | _DTYPES_BIG).get(entry.kind)
        count = min(entry.count, most)
        if dtype is None or entry.place + count * _SIZES[entry.kind] > len(self.data):
            return np.zeros(0, np.int64)
        found = np.frombuffer(self.data, self.order + dtype, count, entry.place)
        return np.asarray(found, np.int64)

    def content(self, entry: Entry) -> bytes:
        """The bytes of a tag; empty where they are not at hand."""
        end = entry.place + entry.size
        return bytes(self.data[entry.place : end]) if end <= len(self.data) else b""

    def _place(self, at: int) -> int:
        """A place in the data, which stands at `at`."""
        (place,) = struct.unpack_from(self.order + ("Q" if self.big else "I"), self.data, at)
        return int(place)


def orientation(exif: bytes | memoryview) -> int:
    """How the camera was held, 1 to 8, by EXIF data; 1 where they do not say.

    Raises:
        ValueError: the data are damaged.
    """
    exif = memoryview(exif)
    for _ in range(_MAX_PREFIXES):
        if bytes(exif[:6]) != _PREFIX:
            break
        exif = exif[6:]
    try:
        block = Block(exif)
        entries = block.directory(block.first())[0]
    except (struct.error, OverflowError) as error:
        raise ValueError("damaged EXIF data") from error
    return turn(block, entries)


def turn(block: Block, entries: dict[int, Entry]) -> int:
    """The orientation that a directory names, 1 to 8; 1 where it names none or nonsense."""
    entry = entries.get(ORIENTATION)
    value = block.numbers(entry, 1).tolist() if entry else []
    return value[0] if value and value[0] in range(1, 9) else 1
