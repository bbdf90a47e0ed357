"""Pictures in forms that Pillow does not write: TIFFs tag by tag, BMPs with bit masks."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from fakeface.types import RGB

_LETTERS = {1: "B", 2: "B", 3: "H", 4: "I", 7: "B", 16: "Q"}

# 32 x 16: green below red on the left, blue on the right.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAXxtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAA"
    "AAAAAAAAAAACJpbG9jAAAAAERAAAEAAQAAAAABoAABAAAAAAAAAMcAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAAB"
    "AABodmMxAAAAAA5waXRtAAAAAAABAAAA/GlwcnAAAADcaXBjbwAAAHVodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADw"
    "NgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQApQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqrprm4CGgwIAA"
    "AAyAAAADAIRiAAEABkQBwXPBiQAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAAChjbGFwAA"
    "AAIAAAAAEAAAAQAAAAAf///+AAAAAC////0AAAAAIAAAAQcGl4aQAAAAADCAgIAAAAGGlwbWEAAAAAAAAAAQABBYEC"
    "AwWEAAAAz21kYXQAAADDKAGvEyGl3vjlMjb/gZPvXPrybCpYuXLthfk917VWxB9f/2TZMfhPf/7DsOZj9GMjabzcYU"
    "h/qI+nbisNP8nbZlxNr0ORiX0/593JnPSo+yEq8aghhnRxFEpRMXGFYsGh1jY6rqx5sIsso1VBFD6GrfoWO8sHYoAq"
    "0MrFM3adoLF8MFfFYh/z347+PATG51hzNX9vLy/ApBW1qCt6BmLfSLwO/bKU8w9IUrNH9vDTWRBrmSLX2zNcjQI0tb"
    "xUhbMKguJs"
)

Tags = dict[int, tuple[int, Sequence[int]]]


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def smooth(height: int = 24, width: int = 40) -> RGB:
    """Without symmetry, and different in each channel."""
    y, x = np.indices((height, width))
    rgb = np.stack([x * 255 // width, y * 255 // height, 255 - (x + y) * 127 // (width + height)])
    return np.moveaxis(rgb, 0, -1).astype(np.uint8)


def page(rgb: RGB, **more: tuple[int, Sequence[int]]) -> tuple[Tags, bytes]:
    """The tags of uncompressed pixels, and the pixels; more tags are named as in t254."""
    height, width, _ = rgb.shape
    tags: Tags = {
        256: (3, [width]),
        257: (3, [height]),
        258: (3, [8, 8, 8]),
        259: (3, [1]),
        262: (3, [2]),
        277: (3, [3]),
        278: (3, [height]),
    }
    tags |= {int(name[1:]): value for name, value in more.items()}
    return tags, rgb.tobytes()


def text(words: str) -> tuple[int, Sequence[int]]:
    return 2, words.encode() + b"\0"


def tiff(
    pages: Sequence[tuple[Tags, bytes]],
    children: Sequence[tuple[Tags, bytes]] = (),
    order: str = "<",
    big: bool = False,
) -> bytes:
    """A TIFF of some pages; the children are those of the first, as cameras put their raw data."""
    place = "Q" if big else "I"
    width = 8 if big else 4
    body = bytearray(16)
    spots: list[int] = []

    def blob(content: bytes) -> int:
        at = len(body)
        body.extend(content + bytes(len(content) % 2))
        return at

    def directory(tags: Tags, pixels: bytes, after: int) -> int:
        kind = 16 if big else 4
        tags = {**tags, 273: (kind, [blob(pixels)]), 279: (kind, [len(pixels)])}
        fields = b""
        for tag in sorted(tags):
            what, values = tags[tag]
            value = struct.pack(f"{order}{len(values)}{_LETTERS[what]}", *values)
            if len(value) > width:
                value = struct.pack(order + place, blob(value))
            fields += struct.pack(f"{order}HH{place}", tag, what, len(values))
            fields += value.ljust(width, b"\0")
        count = struct.pack(order + ("Q" if big else "H"), len(tags))
        return blob(count + fields + struct.pack(order + place, after))

    spots = [directory(*child, 0) for child in children]
    start = 0
    for index, (tags, pixels) in reversed(list(enumerate(pages))):
        own = {**tags, 330: (4, spots)} if spots and index == 0 else tags
        start = directory(own, pixels, start)
    mark = b"II" if order == "<" else b"MM"
    if big:
        body[:16] = mark + struct.pack(order + "HHHQ", 43, 8, 0, start)
    else:
        body[:8] = mark + struct.pack(order + "HI", 42, start)
    return bytes(body)


def masked_bmp(rgb: RGB, bits: int, masks: Sequence[int], top_down: bool = False) -> bytes:
    """A BMP whose channels lie under masks; with a fourth, everything is opaque."""
    height, width, _ = rgb.shape
    numbers = np.zeros((height, width), np.uint64)
    planes = [*np.moveaxis(rgb, -1, 0), np.full((height, width), 255, np.uint8)]
    for mask, plane in zip(masks, planes):
        low = (mask & -mask).bit_length() - 1
        level = np.round(plane.astype(float) * ((mask >> low) / 255)).astype(np.uint64)
        numbers |= level << np.uint64(low)
    rows = numbers.astype(f"<u{bits // 8}")
    rows = rows if top_down else rows[::-1]
    stride = (width * bits + 31) // 32 * 4
    pixels = b"".join(row.tobytes().ljust(stride, b"\0") for row in rows)
    head = 40 if len(masks) == 3 else 56
    own = struct.pack(f"<{len(masks)}I", *masks)
    start = 14 + 40 + len(own)
    info = struct.pack(
        "<IiiHHIIiiII", head, width, -height if top_down else height, 1, bits, 3, 0, 0, 0, 0, 0
    )
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + info + own + pixels


# Colour profiles, version 2 of ICC. Primaries are X, Y, Z of red, green and blue under D50.

SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
PROPHOTO = ((0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249))
ADOBE_RGB = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
D50 = (0.9642, 1.0, 0.8249)


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _profile(space: bytes, tags: dict[bytes, bytes], pcs: bytes = b"XYZ ") -> bytes:
    words = b"made by a test\0"
    description = b"desc" + struct.pack(">II", 0, len(words)) + words + bytes(78)
    tags = {b"desc": description, b"cprt": b"text" + bytes(4) + words, **tags}
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"", 0x02100000, kind, space, pcs)
    head += bytes(12) + b"acsp" + bytes(28) + _fixed(*D50)
    return head.ljust(128, b"\0") + table + body


def rgb_profile(primaries: Sequence[Sequence[float]], gamma: float) -> bytes:
    """A profile of three primaries and one curve."""
    tags = {b"wtpt": b"XYZ " + bytes(4) + _fixed(*D50)}
    for name, primary in zip((b"r", b"g", b"b"), primaries):
        tags[name + b"XYZ"] = b"XYZ " + bytes(4) + _fixed(*primary)
        tags[name + b"TRC"] = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256))
    return _profile(b"RGB ", tags)


def grey_profile(gamma: float) -> bytes:
    """A profile of grey with a curve."""
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256))
    return _profile(b"GRAY", {b"wtpt": b"XYZ " + bytes(4) + _fixed(*D50), b"kTRC": curve})


def cmyk_profile(darkest: int = 0) -> bytes:
    """A profile of ideal inks: L falls with each, and with black to `darkest` of 255."""
    corners = bytearray()
    for inks in np.ndindex(2, 2, 2, 2):
        light = max(darkest, 255 - 70 * sum(inks[:3]) - 255 * inks[3])
        corners += bytes([light, 128, 128])
    ramp = bytes(range(256))
    identity = _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + 4 * ramp + corners + 3 * ramp
    tags = {b"wtpt": b"XYZ " + bytes(4) + _fixed(*D50), b"A2B0": lut, b"A2B1": lut}
    return _profile(b"CMYK", tags, b"Lab ")
