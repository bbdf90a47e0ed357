"""PNG and APNG: Pillow sees the chunks that make up the pixels, and no others.

Text, profiles and EXIF data are taken out, for a fault in them must not cost the picture.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final

from PIL.PngImagePlugin import PngImageFile

from fakeface.images import directories
from fakeface.images.encoded import MAX_PARTS, MAX_PROFILE, Encoded, loader, too_many_parts

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_EXIF_TEXT: Final = b"Raw profile type exif"  # as ImageMagick writes it, in hexadecimal digits
_MAX_EXIF: Final = 2**20
_HEAD: Final = (b"IHDR", b"PLTE")


@dataclass(slots=True)
class _Chunks:
    """What a file holds, without the text.

    Attributes:
        head: whole chunks before the pixels; the control of the first frame is among them.
        pixels: the bodies of the chunks of the first picture.
        tail: whole chunks of the other frames.
        control: whether it says that it moves; `frames` tells how often.
        frames: how many controls of a frame there are.
        first: whether the first picture is a frame too; else it is for programs that cannot show
            animations.
        ended: whether the last chunk is there.
        profile, exif: as they are; empty where they are damaged, and None where there are none.
    """

    head: list[memoryview] = field(default_factory=list)
    pixels: list[memoryview] = field(default_factory=list)
    tail: list[memoryview] = field(default_factory=list)
    control: memoryview | None = None
    frames: int = 0
    first: bool = False
    ended: bool = False
    profile: bytes | None = None
    exif: bytes | None = None


def read(data: bytes, frame: int = 0) -> Encoded:
    """Reads the header of a PNG, and what metadata of use stand before or behind the pixels."""
    found = _walk(data)
    moves = found.control is not None and found.frames > 0
    notes, turned = [], 1
    if found.exif is not None:
        try:
            turned = directories.orientation(found.exif)
        except ValueError:
            notes.append(directories.UNREADABLE)
    image = PngImageFile(BytesIO(_join(found, moves)))
    frames = found.frames + (not found.first) if moves else 1
    return Encoded(image.size, loader(image, frame), frames, turned, found.profile, notes)


def _walk(data: bytes) -> _Chunks:
    found, view, at = _Chunks(), memoryview(data), len(_SIGNATURE)
    for _ in range(MAX_PARTS):
        if at + 8 > len(data):
            return found
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        chunk, body = view[at:end], view[at + 8 : end - 4]
        if name == b"IDAT":
            found.pixels.append(body)
        elif name in _HEAD:
            found.head.append(chunk)
        elif name == b"IEND":
            found.ended = True
            return found
        elif name == b"fcTL":
            found.frames += 1
            found.first = found.first or not found.pixels
            (found.tail if found.pixels else found.head).append(chunk)
        elif name == b"fdAT":
            found.tail.append(chunk)
        elif name in (b"acTL", b"tRNS", b"iCCP", b"eXIf", b"tEXt", b"zTXt") and end <= len(data):
            _take(found, name, chunk, body)
        at = end
    raise too_many_parts("PNG", "chunks")


def _take(found: _Chunks, name: bytes, chunk: memoryview, body: memoryview) -> None:
    """What is of use in a chunk that the pixels can do without."""
    intact = zlib.crc32(chunk[4:-4]).to_bytes(4, "big") == chunk[-4:]
    if name == b"iCCP":
        found.profile = found.profile or (_unpack(bytes(body), MAX_PROFILE) if intact else b"")
    elif name == b"eXIf":
        found.exif = bytes(body) if intact else b""
    elif name in (b"tEXt", b"zTXt"):
        if found.exif is None and body[: len(_EXIF_TEXT) + 1] == _EXIF_TEXT + b"\0":
            text = body[len(_EXIF_TEXT) + 1 :][: 2 * _MAX_EXIF]
            if name == b"zTXt":
                text = memoryview(_unpack(b"\0" + bytes(text), 2 * _MAX_EXIF))
            found.exif = _digits(bytes(text))
    elif intact and name == b"acTL":
        found.control = body
    elif intact and len(body) <= 256:  # which of the colours are transparent
        found.head.append(chunk)


def _unpack(body: bytes, most: int) -> bytes:
    """The packed part of a chunk: one byte more than `most` where it is longer."""
    _, _, packed = body.partition(b"\0")
    try:
        return zlib.decompressobj().decompress(packed[1:], most + 1)
    except zlib.error:
        return b""


def _digits(text: bytes) -> bytes:
    """The bytes that stand in hexadecimal digits below the name and the length of a profile."""
    lines = text.split(b"\n", 3)
    digits = b"".join(lines[3:]).translate(None, b" \r\n")
    try:
        return bytes.fromhex(digits[: len(digits) // 2 * 2].decode("ascii"))
    except ValueError:
        return b""


def _join(found: _Chunks, moves: bool) -> bytes:
    """A file of the pixels alone, the first picture's in one piece."""
    parts: list[bytes | memoryview] = [_SIGNATURE, *found.head[:1]]
    if moves and found.control is not None:  # it is known how many frames there are
        parts.append(_chunk(b"acTL", found.frames.to_bytes(4, "big") + found.control[4:8]))
    parts += [chunk for chunk in found.head[1:] if moves or bytes(chunk[4:8]) != b"fcTL"]
    parts.append(_chunk(b"IDAT", b"".join(found.pixels)))
    parts += found.tail if moves else []
    if found.ended:
        parts.append(_chunk(b"IEND", b""))
    return b"".join(parts)


def _chunk(name: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(body, zlib.crc32(name))
    return len(body).to_bytes(4, "big") + name + body + checksum.to_bytes(4, "big")
