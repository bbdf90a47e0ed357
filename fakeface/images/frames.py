"""One frame of a file -> upright sRGB, in this process.

A module for each family of formats takes out what only describes a picture (text, EXIF, a colour
profile) and gives a parser the rest. So trouble in what describes a picture never costs the
picture; it becomes a note. The size that the header declares is checked before a pixel is decoded,
and not by `Image.MAX_IMAGE_PIXELS`, a global that every thread and library shares.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from PIL import Image

from fakeface import types
from fakeface.images import bmff, bmp, gif, jpeg, pixels, png, tiff, webp
from fakeface.images.encoded import LIMIT, MAX_BYTES, MAX_PIXELS, TOO_MANY_BYTES, Encoded
from fakeface.images.kinds import recognise
from fakeface.types import RGB

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
TOO_MUCH_MEMORY: Final = "This file takes too much memory to read; save the picture again, smaller."


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """A frame of a file.

    Attributes:
        rgb: see `decode`.
        frames: how many pictures the file shows one after the other, or on pages.
        notes: sentences on what could not be read beside the pixels, and on their colours.
        quantisation: see `Picture`.
    """

    rgb: RGB
    frames: int
    notes: tuple[str, ...]
    quantisation: tuple[int, ...] = ()


def decode_frame(data: bytes, frame: int = 0) -> Decoded:
    """Decodes one frame, counted from 0, as `decoder.decode` does."""
    return decode_pixels(data, read_header(data, frame))


def read_header(data: bytes, frame: int = 0) -> Encoded:
    """Reads all that stands around the pixels of one frame.

    Raises:
        ImageError: see `decoder.decode`.
    """
    if not data:
        raise types.EmptyFile("This file is empty; choose another.")
    if len(data) > MAX_BYTES:
        raise types.ImageTooLarge(TOO_MANY_BYTES)
    kind = recognise(data[:4096])
    _mute_pillow()
    with _explain_errors(kind):
        found = _READERS[kind](data, frame)
        _measure(*found.size)
    return found


def decode_pixels(data: bytes, header: Encoded) -> Decoded:
    """Decodes the pixels to which a header belongs.

    Raises:
        ImageError: they are damaged, or too many.
    """
    with _explain_errors(recognise(data[:4096])):
        image = header.load()
    rgb, remark = pixels.to_rgb(image, header.profile)
    del image  # which may be large, before the picture is turned
    notes = (*header.notes, remark) if remark else tuple(header.notes)
    upright = pixels.turn_upright(rgb, header.orientation)
    return Decoded(upright, header.frames, notes, header.quantisation)


@contextmanager
def _explain_errors(kind: str) -> Iterator[None]:
    """Says in one sentence what parsers raise, which on corrupt files is nearly anything."""
    try:
        yield
    except types.ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise types.ImageTooLarge(f"This picture has far too many pixels; {LIMIT}") from error
    except MemoryError as error:
        raise types.ImageTooLarge(TOO_MUCH_MEMORY) from error
    except Exception as error:
        raise types.DamagedImage(
            f"This {kind} file is damaged or incomplete; download or save it again."
        ) from error


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


def _mute_pillow() -> None:
    """Keeps Pillow's remarks on odd metadata from users, and from being raised as errors.

    warnings.catch_warnings would not do: it swaps the list of filters, which all threads share.
    Nor is the filter set anew when it is there, for then all libraries repeat their warnings.
    """
    mute = ("ignore", None, UserWarning, re.compile(r"PIL\."), 0)
    if tuple(warnings.filters[:1]) != (mute,):
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
