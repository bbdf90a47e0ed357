"""The older records of the IPTC (IIM), alone or among the resources of Photoshop."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from fakeface.evidence.fields import DAMAGED, Field, Part, Trouble

_NAMES: Final = {65: "OriginatingProgram", 110: "Credit"}  # of record 2
_MAX_RESOURCES: Final = 1000  # of one block; Photoshop writes some dozens
_RECORDS: Final = 0x0404  # the resource of Photoshop that holds them


def read_resources(body: bytes) -> Iterator[Part]:
    """The records among Photoshop's resources, each of which begins with "8BIM"."""
    at = 0
    try:
        for _ in range(_MAX_RESOURCES):
            if body[at : at + 4] != b"8BIM":
                return
            (kind,) = struct.unpack_from(">H", body, at + 4)
            at += 6 + (body[at + 6] + 2) // 2 * 2  # a name of even length, its length included
            (size,) = struct.unpack_from(">I", body, at)
            if kind == _RECORDS:
                yield from read_records(body[at + 4 : at + 4 + size])
            at += 4 + (size + 1) // 2 * 2
    except (struct.error, IndexError):
        yield Trouble("iptc", DAMAGED)


def read_records(body: bytes) -> Iterator[Part]:
    """The records themselves, each of which begins with the byte 1C."""
    at = 0
    while at + 5 <= len(body) and body[at] == 0x1C:
        record, number, size = struct.unpack_from(">BBH", body, at + 1)
        if size & 0x8000:  # longer than any text of interest
            return
        if record == 2 and number in _NAMES:
            text = body[at + 5 : at + 5 + size].decode("utf-8", "replace")
            yield Field("iptc", _NAMES[number], text)
        at += 5 + size
