"""Self-blended faces: fakes made of one photograph, whose manipulated region is known.

Shiohara and Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022: a copy of the face
that differs slightly in colour, sharpness and place is blended back under a deformed mask, which
leaves the seam and the mismatch that every face swap leaves, and nothing of any one generator.
Swaps paste what a network made at a fixed, mostly low resolution, so the copy may also be softened
by a trip through 64 to 160 pixels.
"""

from __future__ import annotations

import cv2
import numpy as np

from fakeface.types import RGB, Box, FloatArray

_REACH = 0.3  # how far around the face is worked on, as a share of its box


def self_blend(image: RGB, face: Box, rng: np.random.Generator) -> tuple[RGB, FloatArray]:
    """A photograph with its face blended onto itself.

    Args:
        image: upright RGB uint8, (H, W, 3); it is not changed.
        face: the face in it.
        rng: decides everything.

    Returns:
        The picture, uint8 (H, W, 3), and how much of each pixel is the copy, float32 (H, W) in
        [0, 1]. Where that is 0 the picture is the photograph, to the bit.
    """
    height, width = image.shape[:2]
    left, top = max(0, round(face.x - _REACH * face.w)), max(0, round(face.y - _REACH * face.h))
    right = min(width, round(face.x + (1 + _REACH) * face.w))
    bottom = min(height, round(face.y + (1 + _REACH) * face.h))
    target = np.ascontiguousarray(image[top:bottom, left:right])
    inside = Box(face.x - left, face.y - top, face.w, face.h)
    mask = face_mask(target.shape[:2], inside, rng)
    source = _move(_restyle(target, inside, rng), inside, rng)
    mixed = target + (source.astype(np.float32) - target) * mask[..., None]
    out, everywhere = image.copy(), np.zeros((height, width), np.float32)
    out[top:bottom, left:right] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    everywhere[top:bottom, left:right] = mask
    return out, everywhere


def face_mask(shape: tuple[int, ...], face: Box, rng: np.random.Generator) -> FloatArray:
    """A soft, deformed oval about a face or a part of it, float32 (H, W) in [0, 1]."""
    height, width = shape[:2]
    # Most swaps replace the whole face, some only what lies below the eyes or within the features.
    wide, high, down = ((1.0, 1.0, 0.5), (0.85, 0.6, 0.68), (0.75, 0.7, 0.55))[
        int(rng.choice(3, p=(0.7, 0.15, 0.15)))
    ]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    # Smooth waves move the outline by up to a tenth of the face.
    waves = rng.normal(0, 1, (2, 5, 5)).astype(np.float32)
    wave_x, wave_y = (cv2.resize(w, (width, height), interpolation=cv2.INTER_CUBIC) for w in waves)
    x += wave_x * (0.05 * face.w) - (face.x + face.w / 2)
    y += wave_y * (0.05 * face.h) - (face.y + down * face.h)
    half_w = face.w / 2 * wide * rng.uniform(0.85, 1.1)
    half_h = face.h / 2 * high * rng.uniform(0.85, 1.05)
    oval = ((x / half_w) ** 2 + (y / half_h) ** 2 < 1).astype(np.float32)
    soft = float(min(face.w, face.h) * np.exp(rng.uniform(np.log(0.01), np.log(0.09))))
    strength = float(rng.choice((0.5, 0.75, 1.0), p=(0.15, 0.2, 0.65)))
    blurred = cv2.GaussianBlur(oval, (0, 0), max(0.5, soft)).astype(np.float32) * strength
    blurred[blurred < 1 / 255] = 0
    return np.asarray(np.minimum(blurred, 1), np.float32)  # the filter's rounding


def _restyle(image: RGB, face: Box, rng: np.random.Generator) -> RGB:
    """Another colour and another sharpness, at least one of them visibly."""
    side = image.shape[1], image.shape[0]
    what = rng.choice(("colour", "sharpness", "both"), p=(0.2, 0.2, 0.6))
    if what != "sharpness":
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.float32)
        hsv[..., 0] = (hsv[..., 0] + rng.uniform(-4, 4)) % 180
        hsv[..., 1] *= rng.uniform(0.8, 1.2)
        hsv[..., 2] *= rng.uniform(0.9, 1.1)
        turned = cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)
        shifted = turned + rng.uniform(-7, 7, 3).astype(np.float32)
        image = np.clip(shifted, 0, 255).astype(np.uint8)
    if what != "colour":
        way = rng.choice(("small", "blur", "sharpen", "jpeg"), p=(0.5, 0.15, 0.25, 0.1))
        if way == "small":  # the face as a network of 64 to 160 pixels would give it back
            factor = min(0.9, rng.uniform(64, 160) / max(face.w, face.h))
            small = max(8, round(side[0] * factor)), max(8, round(side[1] * factor))
            shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
            kind = int(rng.choice((cv2.INTER_LINEAR, cv2.INTER_CUBIC)))
            image = cv2.resize(shrunk, side, interpolation=kind).astype(np.uint8)
        elif way == "blur":
            spread = max(face.w, face.h) / 160 * rng.uniform(0.5, 1.4)
            image = cv2.GaussianBlur(image, (0, 0), max(0.4, spread)).astype(np.uint8)
        elif way == "sharpen":
            soft = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 2.0))
            amount = rng.uniform(0.5, 1.5)
            image = cv2.addWeighted(image, 1 + amount, soft, -amount, 0).astype(np.uint8)
        else:
            _, data = cv2.imencode(
                ".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 80))]
            )
            image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return image


def _move(image: RGB, face: Box, rng: np.random.Generator) -> RGB:
    """Shifted by up to 3 % and scaled and turned a little about the face's centre."""
    centre = face.x + face.w / 2, face.y + face.h / 2
    turn, zoom = rng.uniform(-2, 2), rng.uniform(0.96, 1.04)
    matrix = np.asarray(cv2.getRotationMatrix2D(centre, turn, zoom), np.float64)
    matrix[:, 2] += rng.uniform(-0.03, 0.03, 2) * (face.w, face.h)
    size = image.shape[1], image.shape[0]
    moved = cv2.warpAffine(
        image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return moved.astype(np.uint8)
