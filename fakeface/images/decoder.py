"""From the bytes of a file to an upright sRGB picture, safely.

The first bytes say what a file is, its name is never trusted, and exactly one reader sees it: a
module for each family of formats, which takes out what only describes the picture (text, EXIF, a
colour profile) and gives a parser the rest. So trouble in what describes a picture never costs
the picture; it becomes a note. The size that the header declares is checked before a pixel is
decoded, and not by `Image.MAX_IMAGE_PIXELS`, a global that every thread and library shares.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from PIL import Image

from fakeface import types
from fakeface.images import bmff, bmp, gif, jpeg, pixels, png, tiff, webp
from fakeface.images.encoded import LIMIT, MAX_BYTES, MAX_PIXELS, TOO_MANY_BYTES, Encoded
from fakeface.images.kinds import recognise
from fakeface.types import RGB, Picture

__all__ = ["MAX_BYTES", "MAX_PIXELS", "TOO_MANY_BYTES"]

FORMATS: Final = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF", "TIFF")  # MPO is a JPEG too
FRAMES: Final = 5  # of a moving picture are looked at, at most

_REACH: Final = 200_000_000  # pixels; most formats decode all frames before the one that is asked
_READERS: Final[dict[str, Callable[[bytes, int], Encoded]]] = {
    "JPEG": jpeg.read,
    "PNG": png.read,
    "WebP": webp.read,
    "AVIF": bmff.read_avif,
    "HEIC": bmff.read_heic,
    "BMP": bmp.read,
    "GIF": gif.read,
    "TIFF": tiff.read,
}


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A frame of a file.

    Attributes:
        rgb: see `decode`.
        frames: how many pictures the file shows one after the other, or on pages.
        notes: sentences on what could not be read beside the pixels, and on their colours.
    """

    rgb: RGB
    frames: int
    notes: tuple[str, ...]


def read_picture(data: bytes, file: str = "") -> Picture:
    """A file as a record of its bytes and its pixels; of a moving picture, the first frame.

    Args:
        data: see `decode`, which tells the errors too.
        file: the name to report.
    """
    found = decode_frame(data)
    digest = hashlib.sha256(data).hexdigest()
    return Picture(data, digest, found.rgb, file, frames=found.frames, notes=found.notes)


def later_frames(picture: Picture) -> Iterator[Picture]:
    """The picture at other times, or on other pages, decoded one by one as they are asked for.

    Yields:
        At most FRAMES - 1 frames, spread evenly to the last one that is within reach; each says in
        `looked` which were looked at so far, itself included. What is damaged is left out.
    """
    for index in spread(picture.frames, picture.rgb.shape[0] * picture.rgb.shape[1])[1:]:
        try:
            found = decode_frame(picture.data, index)
        except types.ImageError:
            continue
        picture = replace(picture, rgb=found.rgb, looked=(*picture.looked, index))
        yield picture


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
    """Decodes a picture; of an animation or a stack of pages, the first.

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
    return decode_frame(data).rgb


def decode_frame(data: bytes, frame: int = 0) -> Decoded:
    """Decodes one frame, counted from 0, as `decode` does."""
    if not data:
        raise types.EmptyFile("This file is empty; choose another.")
    if len(data) > MAX_BYTES:
        raise types.ImageTooLarge(TOO_MANY_BYTES)
    kind = recognise(data[:4096])
    _mute_pillow()
    try:
        found = _READERS[kind](data, frame)
        _measure(*found.size)
        image = found.load()
    except types.ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise types.ImageTooLarge(f"This picture has far too many pixels; {LIMIT}") from error
    except Exception as error:  # on corrupt files the parsers raise nearly anything
        raise types.DamagedImage(
            f"This {kind} file is damaged or incomplete; download or save it again."
        ) from error
    rgb, remark = pixels.to_rgb(image, found.profile)
    notes = (*found.notes, remark) if remark else tuple(found.notes)
    return Decoded(pixels.upright(rgb, found.orientation), found.frames, notes)


def _measure(width: int, height: int) -> None:
    """Refuses a picture of too many pixels.

    Raises:
        ImageTooLarge, or ValueError where there are none.
    """
    if width <= 0 or height <= 0:
        raise ValueError("no pixels")
    if width * height > MAX_PIXELS:
        mega = -(-width * height // 10**6)  # rounded up, never to the limit itself
        raise types.ImageTooLarge(
            f"This picture of {width} x {height} pixels has {mega} megapixels; {LIMIT}"
        )


def read_bytes(path: Path) -> bytes:
    """Reads a whole file of at most MAX_BYTES bytes.

    Raises:
        ImageTooLarge: the file is larger, which is found out before it is read.
        ImageError: it is missing, no ordinary file, or may not be read.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():  # and reading a pipe may never end
            raise types.ImageError(f"{path} is a folder or a device; choose a picture file.")
        if size > MAX_BYTES:
            raise types.ImageTooLarge(TOO_MANY_BYTES)
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise types.ImageError(
            f"{path} cannot be read ({reason}); check its name and permissions."
        ) from error


def _mute_pillow() -> None:
    """Keeps Pillow's remarks on odd metadata from users, and from being raised as errors.

    warnings.catch_warnings would not do: it swaps the list of filters, which all threads share.
    Nor is the filter set anew when it is there, for then all libraries repeat their warnings.
    """
    mute = ("ignore", None, UserWarning, re.compile(r"PIL\."), 0)
    if tuple(warnings.filters[:1]) != (mute,):
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
