"""GIF, still or moving: Pillow sees the pictures alone.

Comments are kept from it, since it would join them all into one.
"""

from __future__ import annotations

from io import BytesIO
from typing import Final

from PIL.GifImagePlugin import GifImageFile

from fakeface.images.encoded import MAX_PARTS, Encoded, loader, too_many_parts

_EXTENSION, _PICTURE, _CONTROL = 0x21, 0x2C, 0xF9
_MAX_BLOCKS: Final = 10 * MAX_PARTS  # of at most 255 bytes each


def read(data: bytes, frame: int = 0) -> Encoded:
    """Reads the header of a GIF and finds its frames."""
    lean, frames = _split(data)
    image = GifImageFile(BytesIO(lean))
    return Encoded(image.size, loader(image, frame), max(frames, 1))


def _split(data: bytes) -> tuple[bytes, int]:
    """A file of the pictures and what controls them, and how many pictures there are."""
    parts, frames, at = [data[:13]], 0, 13
    if len(data) > 10 and data[10] & 0x80:
        at += 3 << (data[10] & 7) + 1
        parts.append(data[13:at])
    left = _MAX_BLOCKS
    while at < len(data):
        start, kind = at, data[at]
        if kind == _EXTENSION:
            keep = data[at + 1 : at + 2] == bytes([_CONTROL])
            at += 2
        elif kind == _PICTURE:
            frames, keep = frames + 1, True
            flags = data[at + 9] if at + 9 < len(data) else 0
            at += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        else:  # the end, or damage, of which Pillow is to judge
            parts.append(data[at:])
            break
        while at < len(data) and data[at] and left:
            at += data[at] + 1
            left -= 1
        at += 1
        left -= 1
        if left <= 0:
            raise too_many_parts("GIF", "blocks")
        if keep:
            parts.append(data[start:at])
    return b"".join(parts), frames
