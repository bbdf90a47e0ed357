"""What a reader finds in the header of a file, and the limits that all of them keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from PIL import Image

from fakeface import types

MAX_BYTES: Final = 32 * 2**20
MAX_PIXELS: Final = 64_000_000
MAX_PROFILE: Final = 2**20  # bytes of a colour profile, unpacked
MAX_PARTS: Final = 50_000  # chunks, segments or blocks of one file
MAX_SCANS: Final = 200  # of a JPEG; cameras and editors write at most some twenty

TOO_MANY_BYTES = f"This file is larger than {MAX_BYTES >> 20} MiB; save a smaller copy."
LIMIT = f"make a copy below the limit of {MAX_PIXELS // 10**6} megapixels."


@dataclass(slots=True)
class Encoded:
    """A picture whose header was read, and whose pixels were not decoded yet.

    Attributes:
        size: width and height in pixels, as stored.
        load: decodes the pixels of the frame that was asked for, in any of Pillow's modes.
        frames: how many pictures the file shows one after the other, or on pages.
        orientation: as in EXIF, 1 to 8, and 1 where `load` turns the picture itself.
        profile: the embedded ICC profile, or None.
        notes: sentences on what could not be read beside the pixels.
        quantisation: see `Picture`.
    """

    size: tuple[int, int]
    load: Callable[[], Image.Image]
    frames: int = 1
    orientation: int = 1
    profile: bytes | None = None
    notes: list[str] = field(default_factory=list)
    quantisation: tuple[int, ...] = ()


def loader(image: Image.Image, frame: int = 0) -> Callable[[], Image.Image]:
    """Lets Pillow decode a frame of a picture that it opened."""

    def load() -> Image.Image:
        if frame:
            image.seek(frame)
        image.load()
        return image

    return load


def too_many_parts(kind: str, parts: str) -> types.ImageTooLarge:
    """The refusal of a file that is made of pieces without end."""
    return types.ImageTooLarge(
        f"This {kind} file is cut into more than {MAX_PARTS} {parts}; save the picture again."
    )


def unsupported(what: str, remedy: str = "save it as an 8-bit JPEG or PNG") -> Exception:
    """The refusal of a kind of file that is intact, but that nobody here reads."""
    return types.UnsupportedFormat(f"This is {what}, which fakeface does not read; {remedy}.")
