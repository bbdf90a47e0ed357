"""What training does to a face, alike for photographs and fakes.

Pictures of the two classes come with different sizes, sharpness, framing and JPEG quality, and a
network would rather learn those than faces. So every crop is framed, turned, resized, blurred or
sharpened, and re-encoded at random, and no function here is told the label.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from PIL import Image

from fakeface.stability import reencode
from fakeface.types import RGB, Box

_FILTERS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Chances and ranges; a chance is in [0, 1].

    Attributes:
        shift: how far the face's centre moves, as a share of its size.
        zoom: the box grows or shrinks by up to this factor.
        turn: chance of, and then the most degrees of, a rotation.
        clean: chance that nothing below is done.
        resize: chance of a change of size, and its range of factors (log-uniform).
        blur, sharpen: chance of each.
        noise: chance, and the largest standard deviation in grey levels.
        jpeg: chance of a codec, and the range of its quality.
        webp, avif: with what chance that codec is WebP or AVIF, and not JPEG.
        colour: chance of a change of brightness, contrast, saturation and white balance.
    """

    shift: float = 0.08
    zoom: float = 1.25
    turn: tuple[float, float] = (0.25, 12.0)
    clean: float = 0.2
    resize: tuple[float, float, float] = (0.6, 0.35, 1.3)
    blur: float = 0.2
    sharpen: float = 0.15
    noise: tuple[float, float] = (0.15, 6.0)
    jpeg: tuple[float, int, int] = (0.6, 35, 96)
    webp: float = 0.0
    avif: float = 0.0
    colour: float = 0.4


# Up to a flip.
UNCHANGED = Augmentation(shift=0.0, zoom=1.0, turn=(0.0, 0.0), clean=1.0, colour=0.0)


def jitter(box: Box, how: Augmentation, rng: np.random.Generator) -> Box:
    """A box moved and scaled at random; the detectors of users frame faces differently too."""
    side = max(box.w, box.h)
    factor = how.zoom ** rng.uniform(-1, 1)
    w, h = max(1, round(box.w * factor)), max(1, round(box.h * factor))
    x = box.x + box.w / 2 - w / 2 + side * how.shift * rng.uniform(-1, 1)
    y = box.y + box.h / 2 - h / 2 + side * how.shift * rng.uniform(-1, 1)
    return Box(round(x), round(y), w, h)


def augment(crop: RGB, how: Augmentation, rng: np.random.Generator) -> RGB:
    """A square crop, flipped, turned and degraded at random; its side may change."""
    crop = move(crop, how, rng)
    if rng.random() < how.colour:
        crop = _colour(crop, rng)
    if rng.random() < how.clean:
        return crop
    if rng.random() < how.resize[0]:
        crop = _resize(crop, how.resize[1:], rng)
    # Only softening would leave sharpness as a sign of one class.
    if rng.random() < how.blur:
        crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.3, 1.3)).astype(np.uint8)
    elif rng.random() < how.sharpen:
        soft = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.7, 2.0))
        amount = rng.uniform(0.2, 1.0)
        crop = cv2.addWeighted(crop, 1 + amount, soft, -amount, 0).astype(np.uint8)
    if rng.random() < how.noise[0]:
        noise = rng.normal(0, rng.uniform(0.5, how.noise[1]), crop.shape)
        crop = np.clip(crop + noise, 0, 255).astype(np.uint8)
    if rng.random() < how.jpeg[0]:
        crop = _encode(crop, how, rng)
    return crop


def move(crop: RGB, how: Augmentation, rng: np.random.Generator) -> RGB:
    """The first part of `augment`: what moves pixels, (S, S, 3) or a mask (S, S)."""
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    crop = np.ascontiguousarray(crop)
    if rng.random() < how.turn[0]:
        crop = _turn(crop, how.turn[1] * rng.uniform(-1, 1))
    return crop


def _turn(crop: RGB, degrees: float) -> RGB:
    side = crop.shape[0]
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), degrees, 1.0)
    turned = cv2.warpAffine(
        crop, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return turned.astype(np.uint8)


def _resize(crop: RGB, factors: tuple[float, float], rng: np.random.Generator) -> RGB:
    factor = float(np.exp(rng.uniform(*np.log(factors))))
    side = max(48, round(crop.shape[0] * factor))
    return cv2.resize(crop, (side, side), interpolation=int(rng.choice(_FILTERS))).astype(np.uint8)


def _encode(crop: RGB, how: Augmentation, rng: np.random.Generator) -> RGB:
    """A crop as JPEG, WebP or AVIF gives it back; the last two at their fastest."""
    quality = int(rng.integers(how.jpeg[1], how.jpeg[2] + 1))
    other = rng.random() if how.webp + how.avif else 1.0
    if other >= how.webp + how.avif:
        return reencode(crop, quality)
    out = BytesIO()
    if other < how.webp:
        Image.fromarray(crop).save(out, "WEBP", quality=quality, method=0)
    else:
        Image.fromarray(crop).save(out, "AVIF", quality=quality, speed=10, max_threads=1)
    return np.array(Image.open(out).convert("RGB"))


def _colour(crop: RGB, rng: np.random.Generator) -> RGB:
    picture = crop.astype(np.float32)
    grey = picture.mean(axis=2, keepdims=True)
    saturation = 0.0 if rng.random() < 0.05 else rng.uniform(0.7, 1.3)
    picture = grey + (picture - grey) * np.float32(saturation)
    picture = (picture - 128) * np.float32(rng.uniform(0.85, 1.2)) + 128
    picture = picture * rng.uniform(0.93, 1.07, 3).astype(np.float32) + np.float32(
        rng.uniform(-15, 15)
    )
    return np.asarray(np.clip(picture, 0, 255), np.uint8)
