"""WebP, still or moving: libwebp sees the pixels, and the metadata are taken out before."""

from __future__ import annotations

import importlib
import struct
from typing import Final

from PIL import Image

from fakeface.images import directories
from fakeface.images.encoded import MAX_PARTS, Encoded, too_many_parts

_PIXELS: Final = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
_METADATA: Final = 0x20 | 0x08 | 0x04  # the flags of a profile, of EXIF data, of XMP


def read(data: bytes, frame: int = 0) -> Encoded:
    """Reads the header of a WebP."""
    lean, frames, exif, profile = _split(data)
    size = _size(lean)
    notes, turned = [], 1
    if exif is not None:
        try:
            turned = directories.orientation(exif)
        except ValueError:
            notes.append(directories.UNREADABLE)

    def load() -> Image.Image:
        # Not by Pillow's own reader, which holds one more copy of the pixels.
        decoder = importlib.import_module("PIL._webp").WebPAnimDecoder(lean)
        (width, height), _, _, _, mode = decoder.get_info()
        if (width, height) != size:
            raise ValueError("the size differs")
        for _ in range(frame + 1):
            found = decoder.get_next()
            if found is None:
                raise ValueError("no such frame")
        return Image.frombuffer(mode, size, found[0], "raw", mode, 0, 1)

    return Encoded(size, load, max(frames, 1), turned, profile, notes)


def _size(lean: bytes) -> tuple[int, int]:
    """Width and height by the first chunk: libwebp takes much memory before it tells them."""
    name, body = lean[12:16], lean[20:30]
    if name == b"VP8X":
        width, height = body[4:7], body[7:10]
        return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1
    if name == b"VP8L" and body[:1] == b"\x2f":
        both = int.from_bytes(body[1:5], "little")
        return (both & 0x3FFF) + 1, (both >> 14 & 0x3FFF) + 1
    if name == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        across, down = struct.unpack_from("<HH", body, 6)
        return across & 0x3FFF, down & 0x3FFF
    raise ValueError("no picture")


def _split(data: bytes) -> tuple[bytes, int, bytes | None, bytes | None]:
    """A file of the pixels alone, how many frames move, the EXIF data and the colour profile."""
    (size,) = struct.unpack_from("<I", data, 4)
    end, at = min(len(data), 8 + size), 12
    parts: list[bytes] = []
    exif = profile = None
    frames = 0
    for _ in range(MAX_PARTS):
        if at + 8 > end:
            missing = max(0, 8 + size - len(data))  # and libwebp is to see that it is cut short
            body = b"".join(parts)
            return (
                b"RIFF" + struct.pack("<I", len(body) + 4 + missing) + b"WEBP" + body,
                frames,
                exif,
                profile,
            )
        name, length = struct.unpack_from("<4sI", data, at)
        chunk = data[at : min(at + 8 + length + length % 2, end)]
        if name == b"VP8X" and len(chunk) >= 18:
            chunk = chunk[:8] + bytes([chunk[8] & ~_METADATA]) + chunk[9:]
        if name in _PIXELS:
            parts.append(chunk)
            frames += name == b"ANMF"
        elif name == b"EXIF" and exif is None:
            exif = chunk[8 : 8 + length]
        elif name == b"ICCP" and profile is None:
            profile = chunk[8 : 8 + length]
        at += 8 + length + length % 2
    raise too_many_parts("WebP", "chunks")
