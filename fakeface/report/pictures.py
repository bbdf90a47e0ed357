"""Pictures inside a page: what the templates draw with, as data URLs."""

from __future__ import annotations

import base64
import functools
from io import BytesIO
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from fakeface.images.decoder import go_to_frame
from fakeface.types import Analysis, Box, Heatmap, Picture

PICTURE_SIDE: Final = 1280  # pixels, at most, of the whole picture in a page
FACE_SIDE: Final = 320  # and of a face


def embed(picture: Picture, analysis: Analysis | None = None) -> dict[str, Any]:
    """What the templates draw with: the picture, faces out of it, and heatmaps, as data URLs.

    Args:
        picture: that was analysed.
        analysis: which frame of a moving picture is to be shown; the one in `picture` without.
    """
    if analysis is not None:
        picture = go_to_frame(picture, analysis.frame)

    @functools.cache
    def crop(region: Box) -> str:
        x, y, w, h = region.as_list()
        return data_url(picture.rgb[y : y + h, x : x + w], FACE_SIDE)

    return {
        "picture": data_url(picture.rgb, PICTURE_SIDE),
        "crop": crop,
        "tinted": functools.cache(tint),
    }


def tint(heatmap: Heatmap) -> str:
    """A heatmap as a picture to lay over its face, clear where it is cold."""
    values = np.rint(np.clip(heatmap.values, 0, 1) * 255).astype(np.uint8)
    colours = cv2.applyColorMap(values, cv2.COLORMAP_INFERNO)[..., ::-1]
    return data_url(np.dstack([colours, values]), FACE_SIDE)


def data_url(pixels: npt.NDArray[np.uint8], side: int, *, kind: str = "") -> str:
    """A picture, with or without alpha, inside the page itself: no file to store and to fetch."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), reducing_gap=2.0)
    kind = kind or ("webp" if image.mode == "RGBA" else "jpeg")
    out = BytesIO()
    image.save(out, kind, quality=88)
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}"
