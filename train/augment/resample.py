"""Resampled faces: fakes made of one photograph, with the traces of a generator's last layers.

Generators end in upsampling, which ties each pixel to its neighbours in a way that no camera does
(Tan et al., "Rethinking the Up-Sampling Operations in CNN-based Generative Network for
Generalizable Deepfake Detection", CVPR 2024). Here a photograph is shrunk and brought back by one
or two transposed convolutions of stride 2 with random kernels, and sharpened to look as before.
"""

from __future__ import annotations

import cv2
import numpy as np

from fakeface.types import RGB, FloatArray

_TAPS = ((0.25, 0.75, 0), (0, 0.75, 0.25))  # of bilinear doubling, at even and at odd places


def resample(image: RGB, rng: np.random.Generator) -> RGB:
    """A photograph as a network's decoder would give it back.

    Args:
        image: upright RGB uint8, (H, W, 3); it is not changed.
        rng: decides everything.

    Returns:
        The picture, uint8 (H, W, 3).
    """
    steps = int(rng.choice((1, 2), p=(0.7, 0.3)))
    height, width = image.shape[:2]
    small = cv2.resize(
        image, (max(1, width >> steps), max(1, height >> steps)), interpolation=cv2.INTER_AREA
    )
    picture = small.astype(np.float32)
    for _ in range(steps):
        picture = double(picture, rng)
    picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    soft = cv2.GaussianBlur(picture, (0, 0), 2.0 ** (steps - 1))
    picture += (picture - soft) * rng.uniform(0.3, 1.5)
    share = rng.uniform(0.5, 1.0)  # how much of the detail was made up
    mixed = share * picture + (1 - share) * image
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def double(picture: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Twice the size, by a transposed convolution that is nearly an interpolation.

    Args:
        picture: float32 (H, W, 3).

    Returns:
        float32 (2 H, 2 W, 3).
    """
    height, width = picture.shape[:2]
    out = np.empty((2 * height, 2 * width, 3), np.float32)
    linear = rng.uniform(0.6, 1)  # between nearest and bilinear
    noise = rng.uniform(0.01, 0.06)
    for i in range(2):
        for j in range(2):
            # Each of the four positions between two pixels has a kernel of its own.
            kernel = linear * np.outer(_TAPS[i], _TAPS[j])
            kernel[1, 1] += 1 - linear
            kernel += rng.normal(0, noise, (3, 3))
            kernel *= rng.normal(1, noise / 4) / kernel.sum()
            out[i::2, j::2] = cv2.filter2D(picture, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return out
