"""Face -> tensor: the one function that training, evaluation, page and command line call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from pydantic import with_config

from fakeface.fields import CLOSED, Finite, NotNegative, Positive, Side
from fakeface.types import RGB, Box


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a model wants its faces.

    Attributes:
        size: side of the input square, in pixels.
        margin: how far the square reaches beyond the face's longer side, as a share of it.
        mean, std: per channel, of RGB in [0, 1].
    """

    size: Side
    margin: NotNegative
    mean: tuple[Finite, Finite, Finite]
    std: tuple[Positive, Positive, Positive]


def face_region(box: Box, width: int, height: int, margin: float) -> Box:
    """The square around a face that a model sees, wholly inside the picture.

    At a border the square moves inwards, and where the picture is too small it shrinks: a padded
    edge would tell how a data set was cropped, and models learn that instead of the face.

    Args:
        box: the face, in pixels of a picture of `width` x `height`.
        margin: see `Preprocessing.margin`.
    """
    side = max(1, min(round(max(box.w, box.h) * (1 + margin)), width, height))
    left = min(max(0, round(box.x + box.w / 2 - side / 2)), width - side)
    top = min(max(0, round(box.y + box.h / 2 - side / 2)), height - side)
    return Box(left, top, side, side)


def face_tensor(
    image: RGB,
    box: Box,
    how: Preprocessing,
    augment: Callable[[RGB], RGB] | None = None,
) -> torch.Tensor:
    """One face as the network's input.

    Args:
        image: upright RGB uint8, (H, W, 3).
        box: the face in it.
        how: the model's own preprocessing.
        augment: training only: what to do to the cropped square, (S, S, 3) uint8 of any side,
            before it is resized.

    Returns:
        float32 (3, size, size), normalised.
    """
    region = face_region(box, image.shape[1], image.shape[0], how.margin)
    crop = image[region.y : region.y + region.h, region.x : region.x + region.w]
    if augment is not None:
        crop = augment(crop)
    # Pillow's filter widens when it shrinks, so large faces do not alias.
    square = Image.fromarray(crop).resize((how.size, how.size), Image.Resampling.BICUBIC)
    # Channels first: over a last axis of three, NumPy computes far more slowly.
    channels = np.asarray(square).transpose(2, 0, 1).astype(np.float32, order="C")
    channels /= 255.0
    channels -= np.array(how.mean, np.float32)[:, None, None]
    channels /= np.array(how.std, np.float32)[:, None, None]
    return torch.from_numpy(channels)
