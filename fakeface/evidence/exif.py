"""EXIF: the tags that matter, and how much memory it would take to read all of them.

Pillow would do some of this, but it reads every tag, and a small file may declare thousands of
tags that all point to the same megabytes. `swells` tells whether one does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Final

from fakeface.evidence.fields import DAMAGED, MAX_TEXT, Field, Part, Trouble

MAX_SURPLUS: Final = 32 * 2**20  # bytes that reading all tags may take beyond what a file holds

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
_POINTERS: Final = (_EXIF_POINTER, 0x8825, 0xA005)  # to the directories of EXIF, GPS and Interop

# Bytes of one element of each kind, in the file.
_KINDS: Final = {1: (1, 2, 6, 7), 2: (3, 8), 4: (4, 9, 11, 13), 8: (5, 10, 12, 16, 17, 18)}
_SIZES: Final = {kind: size for size, kinds in _KINDS.items() for kind in kinds}
# Bytes of one element in memory: text as it is, rationals as objects, other numbers in tuples.
_WEIGHTS: Final = {1: 1, 2: 1, 7: 1, 5: 280, 10: 280}
_WEIGHT: Final = 50
_ENTRY_WEIGHT: Final = 200
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


def _entries(
    data: memoryview, order: str, start: int, *, big: bool = False
) -> Iterator[tuple[int, int, int, int]]:
    """Tag, kind, number of elements and place of the value, of each entry of a directory.

    Raises:
        struct.error: the data end before the directory does.
    """
    number, head, width = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    (entries,) = struct.unpack_from(order + number, data, start)
    at = start + struct.calcsize(number)
    for _ in range(entries):
        tag, kind, count = struct.unpack_from(order + head, data, at)
        place = at + 4 + width
        if count * _SIZES.get(kind, 1) > width:  # it does not fit into the entry
            (place,) = struct.unpack_from(order + "IQ"[big], data, place)
        yield tag, kind, count, place
        at += 4 + 2 * width


def swells(data: bytes) -> bool:
    """Whether reading all tags takes far more memory than the data: more than MAX_SURPLUS beyond.

    Several tags may point to the same bytes, and numbers take more room as objects than in a file,
    so this is what to ask before a reader that copies or converts every tag sees the data. Values
    that end beyond the data cost nothing, for no reader gets them.

    Args:
        data: a whole TIFF or BigTIFF, or EXIF data with or without the prefix "Exif".
    """
    prefixes = 0
    while data.startswith(_EXIF_PREFIX, len(_EXIF_PREFIX) * prefixes):
        prefixes += 1
        if prefixes > _MAX_PREFIXES:  # Pillow copies the data for each
            return True
    block = memoryview(data)[len(_EXIF_PREFIX) * prefixes :]
    order = _ORDERS.get(bytes(block[:2]))
    if order is None:
        return False
    room = len(block) + MAX_SURPLUS
    # Pillow takes the third byte for the version, other readers both: if they disagree, both count.
    for big in {bytes(block[2:3]) == b"+", b"+" in bytes(block[2:4])}:
        for weight in _weights(block, order, big=big):
            room -= weight
            if room < 0:
                return True
    return False


def _weights(data: memoryview, order: str, *, big: bool) -> Iterator[int]:
    """Bytes of memory for each entry of the directories that Pillow reads for a picture."""
    starts: list[int] = []
    with suppress(struct.error):
        starts += struct.unpack_from(order + "IQ"[big], data, 8 if big else 4)
    seen = set(starts)
    for start in starts:  # which grows
        with suppress(struct.error, OverflowError):  # damage
            for tag, kind, count, place in _entries(data, order, start, big=big):
                size = _SIZES.get(kind, 0)
                if not size or place + count * size > len(data):
                    yield _ENTRY_WEIGHT
                    continue
                yield _ENTRY_WEIGHT + count * _WEIGHTS.get(kind, _WEIGHT)
                if tag in _POINTERS:
                    target = data[place : place + size]
                    other = int.from_bytes(target, "little" if order == "<" else "big")
                    if other not in seen:
                        seen.add(other)
                        starts.append(other)


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
