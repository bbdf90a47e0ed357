"""EXIF: the tags that matter, of the first directory of a TIFF and of the one of EXIF.

Pillow reads every tag, and a small file may declare thousands that all point to the same megabytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from typing import Final

from fakeface.evidence.fields import DAMAGED, MAX_TEXT, Field, Part, Trouble

_MAX_TAGS: Final = 512  # of one directory that are looked at
_TAGS: Final = {
    0x010F: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x9286: "UserComment",
    0x9C9C: "XPComment",
    0xA434: "LensModel",
}
_XMP_TAG: Final = 0x02BC
_EXIF_POINTER: Final = 0x8769
_ORDERS: Final = {b"II": "<", b"MM": ">"}
_EXIF_PREFIX: Final = b"Exif\0\0"
# Bytes of one element of each kind, in the file.
_KINDS: Final = {1: (1, 2, 6, 7), 2: (3, 8), 4: (4, 9, 11, 13), 8: (5, 10, 12, 16, 17, 18)}
_SIZES: Final = {kind: size for size, kinds in _KINDS.items() for kind in kinds}
_MAX_PREFIXES: Final = 8  # of "Exif" before EXIF data: some writers put two


def read_exif(data: memoryview) -> Iterator[Part]:
    """The tags of interest in the first directory and in the one of EXIF; no loop is possible.

    Args:
        data: a whole TIFF, or EXIF data with or without the prefix "Exif".
    """
    try:
        block = _without_prefixes(data)
        order = _ORDERS.get(bytes(block[:2]))
        if order is None or struct.unpack_from(order + "H", block, 2)[0] != 42:
            yield Trouble("exif", DAMAGED)
            return
        starts = [struct.unpack_from(order + "I", block, 4)[0]]
        seen: set[int] = set()
        for start in starts:  # at most one more is added
            for tag, kind, count, place in islice(_entries(block, order, start), _MAX_TAGS):
                if tag == _EXIF_POINTER and len(starts) == 1:
                    starts.append(struct.unpack_from(order + "I", block, place)[0])
                # Of a tag that comes twice, the first: else one text may be read 65,535 times.
                if (tag in _TAGS or tag == _XMP_TAG) and kind in (1, 2, 7) and tag not in seen:
                    seen.add(tag)
                    yield from _value(block, tag, count, place, order)
    except struct.error:  # the entries before the damage stay
        yield Trouble("exif", DAMAGED)


def _value(block: memoryview, tag: int, count: int, place: int, order: str) -> Iterator[Part]:
    """What one tag of interest holds."""
    if place + count > len(block):
        yield Trouble("exif", DAMAGED)
        return
    value = bytes(block[place : place + min(count, MAX_TEXT + 1)])
    if tag == _XMP_TAG:
        yield value
    elif text := _text(tag, value, order).strip("\0 \n"):
        yield Field("exif", _TAGS[tag], text[:MAX_TEXT])


def _without_prefixes(data: memoryview) -> memoryview:
    for _ in range(_MAX_PREFIXES):
        if bytes(data[: len(_EXIF_PREFIX)]) != _EXIF_PREFIX:
            break
        data = data[len(_EXIF_PREFIX) :]
    return data


def _entries(data: memoryview, order: str, start: int) -> Iterator[tuple[int, int, int, int]]:
    """Tag, kind, number of elements and place of the value, of each entry of a directory.

    Raises:
        struct.error: the data end before the directory does.
    """
    (entries,) = struct.unpack_from(order + "H", data, start)
    for at in range(start + 2, start + 2 + 12 * entries, 12):
        tag, kind, count = struct.unpack_from(order + "HHI", data, at)
        place = at + 8
        if count * _SIZES.get(kind, 1) > 4:  # it does not fit into the entry
            (place,) = struct.unpack_from(order + "I", data, place)
        yield tag, kind, count, place


def _text(tag: int, value: bytes, order: str) -> str:
    if _TAGS[tag] == "XPComment":
        return value.decode("utf-16-le", "replace")
    if _TAGS[tag] != "UserComment":
        return value.partition(b"\0")[0].decode("utf-8", "replace")
    if not value.startswith(b"UNICODE\0"):
        return value[8:].decode("utf-8", "replace")
    # The standard leaves the order of the bytes open, and writers differ: mostly Latin letters
    # have their zero byte first in one order and last in the other.
    body = value[8:]
    big = body[0:512:2].count(0) - body[1:512:2].count(0)
    if big == 0:
        big = 1 if order == ">" else -1
    return body.decode("utf-16-be" if big > 0 else "utf-16-le", "replace")
