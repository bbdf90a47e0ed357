"""From the bytes of a file to an upright sRGB picture, safely.

The first bytes say what a file is, its name is never trusted, and exactly one reader sees it: see
`fakeface.images.frames`. Strangers' files are decoded in processes of their own, which have little
memory and time: see `fakeface.workers`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from fakeface import types
from fakeface.images import apart, frames
from fakeface.images.encoded import MAX_BYTES, MAX_PIXELS, TOO_MANY_BYTES
from fakeface.names import spell
from fakeface.types import RGB, Picture

__all__ = ["MAX_BYTES", "MAX_PIXELS", "TOO_MANY_BYTES"]

FORMATS: Final = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF", "TIFF")  # MPO is a JPEG too
FRAMES: Final = 5  # of a moving picture are looked at, at most

_REACH: Final = 200_000_000  # pixels; most formats decode all frames before the one that is asked


def read_picture(data: bytes, file: str = "") -> Picture:
    """A file as a record of its bytes and its pixels; of a moving picture, the first frame.

    Args:
        data: see `decode`, which tells the errors too.
        file: the name to report.
    """
    found = apart.decode_frame(data)
    digest = hashlib.sha256(data).hexdigest()
    return Picture(
        data,
        digest,
        found.rgb,
        file,
        frames=found.frames,
        notes=found.notes,
        quantisation=found.quantisation,
    )


def later_frames(picture: Picture) -> Iterator[Picture]:
    """The picture at other times, or on other pages, decoded one by one as they are asked for.

    Yields:
        At most FRAMES - 1 frames, spread evenly to the last one that is within reach; each says in
        `looked` which were looked at so far, itself included. What is damaged is left out.
    """
    for index in spread(picture.frames, picture.rgb.shape[0] * picture.rgb.shape[1])[1:]:
        try:
            found = apart.decode_frame(picture.data, index)
        except types.ImageError:
            continue
        picture = replace(picture, rgb=found.rgb, looked=(*picture.looked, index))
        yield picture


def go_to_frame(picture: Picture, frame: int) -> Picture:
    """The picture at the frame that an analysis speaks of, which is mostly the one it has."""
    if frame == picture.looked[-1]:
        return picture
    return replace(picture, rgb=apart.decode_frame(picture.data, frame).rgb, looked=(frame,))


def spread(frames: int, size: int) -> tuple[int, ...]:
    """Which frames to look at: at most FRAMES, evenly, as far as `_REACH` pixels allow.

    Args:
        frames: how many there are.
        size: pixels of one.
    """
    last = min(frames, max(1, _REACH // size)) - 1
    return tuple(sorted({round(step * last / (FRAMES - 1)) for step in range(FRAMES)}))


def open_picture(path: Path) -> Picture:
    """A file at a path as a record of its bytes and its pixels.

    Raises:
        ImageError: it cannot be read; see `read_bytes` and `decode`.
    """
    return read_picture(read_bytes(path), str(path))


def decode(data: bytes) -> RGB:
    """Decodes a picture in this process; of an animation or a stack of pages, the first.

    Args:
        data: a whole file of one of FORMATS, or HEIC where the package pi-heif is installed.

    Returns:
        uint8 (H, W, 3), sRGB, in [0, 255], contiguous and writable; turned upright by the EXIF
        orientation. An embedded colour profile is applied. Transparent parts are shown on white,
        as on most pages and in most viewers: nobody ever saw the colours hidden under them. Grey
        is repeated in the three channels, and 16 bits are scaled down to 8.

    Raises:
        EmptyFile, NotAnImage, UnsupportedFormat, DamagedImage, ImageTooLarge: all ImageError.
    """
    return frames.decode_frame(data).rgb


def read_bytes(path: Path) -> bytes:
    """Reads a whole file of at most MAX_BYTES bytes.

    Raises:
        ImageTooLarge: the file is larger, which is found out before it is read.
        ImageError: it is missing, no ordinary file, or may not be read.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():  # and reading a pipe may never end
            raise types.ImageError(
                f"{spell(str(path))} is a folder or a device; choose a picture file."
            )
        if size > MAX_BYTES:
            raise types.ImageTooLarge(TOO_MANY_BYTES)
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise types.ImageError(
            f"{spell(str(path))} cannot be read ({reason}); check its name and permissions."
        ) from error
