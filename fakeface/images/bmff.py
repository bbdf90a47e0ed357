"""AVIF and HEIC, whose boxes and metadata their own libraries read."""

from __future__ import annotations

import importlib
from io import BytesIO
from typing import cast

from PIL import Image

from fakeface import types
from fakeface.images.encoded import Encoded, loader

_THREADS = 2


def read_avif(data: bytes, frame: int = 0) -> Encoded:
    """Reads the header of an AVIF.

    libavif is asked itself, for Pillow's own reader parses the EXIF data, which may fail. In an
    AVIF they do not count: the file says apart from them how the picture is turned.
    """
    decoder = importlib.import_module("PIL._avif").AvifDecoder(data, "auto", _THREADS)
    size, frames, mode, profile, _, turned, _ = decoder.get_info()

    def load() -> Image.Image:
        pixels = decoder.get_frame(frame)[0]
        return Image.frombuffer(mode, size, pixels, "raw", mode, 0, 1)

    return Encoded(size, load, frames, turned if turned in range(1, 9) else 1, profile)


def read_heic(data: bytes, frame: int = 0) -> Encoded:
    """Reads the header of a HEIC, where the package pi-heif is installed; it turns pictures."""
    try:
        pi_heif = importlib.import_module("pi_heif")
    except ImportError:
        raise types.UnsupportedFormat(
            "This is a HEIC picture; run `pip install pi-heif` to read it, or save it as JPEG."
        ) from None
    image = cast(Image.Image, pi_heif.HeifImageFile(BytesIO(data)))
    frames = getattr(image, "n_frames", 1)
    profile = image.info.get("icc_profile")
    return Encoded(image.size, loader(image, frame), frames, 1, profile)
