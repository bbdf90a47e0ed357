"""Photographs turned into drawings, by OpenCV alone."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from fakeface.types import RGB


def _cartoon(image: RGB) -> RGB:
    """Flat colours with dark lines."""
    smooth = image
    for _ in range(4):
        smooth = cv2.bilateralFilter(smooth, 9, 60, 7)
    flat = (smooth // 24 * 24 + 12).astype(np.uint8)
    grey = cv2.medianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 5)
    kind, how = cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY
    lines = cv2.adaptiveThreshold(grey, 255, kind, how, 9, 4)
    return np.asarray(cv2.bitwise_and(flat, flat, mask=lines), np.uint8)


def _pencil(image: RGB) -> RGB:
    """Coloured pencils on white paper."""
    return np.asarray(cv2.pencilSketch(image, sigma_s=60, sigma_r=0.07, shade_factor=0.05)[1])


def _watercolour(image: RGB) -> RGB:
    """Areas of one colour with soft edges."""
    return np.asarray(cv2.stylization(image, sigma_s=60, sigma_r=0.45))


STYLES: dict[str, Callable[[RGB], RGB]] = {
    "cartoon": _cartoon,
    "pencil": _pencil,
    "watercolour": _watercolour,
}
