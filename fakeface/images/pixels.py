"""Any of Pillow's modes as upright RGB of 8 bits, a band at a time, so that little is copied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from PIL import ExifTags, Image, ImageCms

from fakeface.images import colour
from fakeface.types import RGB, FloatArray

_BAND: Final = 2_000_000  # pixels
_GREY: Final = ("1", "L", "LA", "I", "F")


def to_rgb(image: Image.Image, profile: bytes | None = None) -> tuple[RGB, str]:
    """A picture as uint8 (H, W, 3), in sRGB and on white, and a sentence on its colour profile."""
    made, note = None, ""
    if profile is not None and image.mode != "LAB":
        made, note = colour.transform(profile, _family(image.mode))
    width, height = image.size
    white = _white(image) if image.mode in ("I", "F") else (0.0, 0.0)
    rgb = np.empty((height, width, 3), np.uint8)
    for top, band in _bands(image):
        if image.mode in ("I", "F"):
            grey = np.interp(_finite(band), white, (0, 255)).round()
            band = Image.fromarray(grey.astype(np.uint8))
        elif image.mode.startswith("I;16"):
            band = _deep_grey(band, getattr(image, "tag_v2", {}))
        rgb[top : top + band.height] = np.asarray(_on_white(band, made))
    return rgb, note


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The rows of a picture, some at a time, and the number of the first."""
    width, height = image.size
    step = max(1, _BAND // width)
    if step >= height:
        yield 0, image
        return
    for top in range(0, height, step):
        yield top, image.crop((0, top, width, min(top + step, height)))


def _family(mode: str) -> str:
    """The kind of profile that a picture of that mode may have."""
    if mode in _GREY or mode.startswith("I;16"):
        return "L"
    return "CMYK" if mode == "CMYK" else "RGB"


def _on_white(band: Image.Image, made: ImageCms.ImageCmsTransform | None) -> Image.Image:
    alpha = None
    if band.has_transparency_data:
        rgba = band.convert("RGBA")
        alpha = rgba.getchannel("A")
        band = band if _family(band.mode) == "L" else rgba
    band = made.apply(band.convert(made.input_mode)) if made else band.convert("RGB")
    if alpha is None:
        return band
    white = Image.new("RGB", band.size, "white")
    white.paste(band, mask=alpha)
    return white


def _finite(band: Image.Image) -> FloatArray:
    return np.nan_to_num(np.asarray(band, np.float32), nan=0, posinf=0, neginf=0)


def _white(image: Image.Image) -> tuple[float, float]:
    """Black and white of whole numbers of 32 bits, or of fractions.

    The file does not say which value is white: the least customary one that holds all is taken.
    """
    spans = [(float(grey.min()), float(grey.max())) for grey in map(_finite, _only(image))]
    low, high = min(0.0, *(span[0] for span in spans)), max(span[1] for span in spans)
    return low, next((top for top in (1.0, 255.0, 65535.0) if high <= top), high)


def _only(image: Image.Image) -> Iterator[Image.Image]:
    return (band for _, band in _bands(image))


def _deep_grey(band: Image.Image, tags: Mapping[int, Any]) -> Image.Image:
    """Grey of 16 bits in 8; TIFF may have 12, and white at 0."""
    grey = np.asarray(band) >> (tags.get(ExifTags.Base.BitsPerSample, (16,))[0] - 8)
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:
        grey = 255 - grey
    return Image.fromarray(grey.astype(np.uint8))


def turn_upright(rgb: RGB, orientation: int) -> RGB:
    """Undoes the way the camera was held."""
    if orientation >= 5:
        rgb = rgb.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)
