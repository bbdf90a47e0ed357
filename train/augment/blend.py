"""Blended faces: fakes made of one photograph or of two, whose manipulated region is known.

Shiohara and Yamasaki, "Detecting Deepfakes with Self-Blended Images", CVPR 2022: a copy of the face
that differs slightly in colour, sharpness and place is blended back under a deformed mask, which
leaves the seam and the mismatch that every face swap leaves, and nothing of any one generator.
Swaps paste what a network made at a fixed, mostly low resolution, so the copy may also be softened
by a trip through 64 to 160 pixels. In place of the copy another person's face may be laid over the
features (Li et al., "Face X-ray for More General Face Forgery Detection", CVPR 2020), in the
target's colours, as swaps take them over.
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
    at = _surroundings(image, face)
    target = _cut(image, at)
    inside = Box(face.x - at.x, face.y - at.y, face.w, face.h)
    mask = face_mask(target.shape[:2], inside, rng)
    source = _move(_restyle(target, inside, rng), inside, rng)
    return _lay_in(image, at, source, mask)


def swap_blend(
    image: RGB,
    face: Box,
    points: FloatArray,
    donor: RGB,
    donor_points: FloatArray,
    rng: np.random.Generator,
) -> tuple[RGB, FloatArray]:
    """A photograph with another person's face blended onto its own.

    Args:
        image, face: the target, as for `self_blend`.
        points: five landmarks of it, (5, 2) as x, y; see `YuNet.find_landmarks`.
        donor, donor_points: the other face and its landmarks.
        rng: decides everything.

    Returns:
        As `self_blend`.
    """
    at = _surroundings(image, face)
    target = _cut(image, at)
    inside = Box(face.x - at.x, face.y - at.y, face.w, face.h)
    mask = face_mask(target.shape[:2], inside, rng)
    fit = cv2.estimateAffinePartial2D(donor_points, points - np.array((at.x, at.y), np.float32))[0]
    if fit is None:  # landmarks in one point
        return self_blend(image, face, rng)
    size = target.shape[1], target.shape[0]
    source = cv2.warpAffine(
        donor, fit, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    ).astype(np.uint8)
    way = rng.choice(("statistics", "poisson", "none"), p=(0.65, 0.2, 0.15))
    if way == "poisson":
        source = _clone(source, target, mask)
    elif way == "statistics":
        source = _take_colours(source, target, mask)
    if rng.random() < 0.6:
        source = _restyle(source, inside, rng)
    return _lay_in(image, at, source, mask)


def _surroundings(image: RGB, face: Box) -> Box:
    """The part of a picture that is worked on."""
    height, width = image.shape[:2]
    left, top = max(0, round(face.x - _REACH * face.w)), max(0, round(face.y - _REACH * face.h))
    right = min(width, round(face.x + (1 + _REACH) * face.w))
    bottom = min(height, round(face.y + (1 + _REACH) * face.h))
    return Box(left, top, right - left, bottom - top)


def _cut(image: RGB, at: Box) -> RGB:
    return np.ascontiguousarray(image[at.y : at.y + at.h, at.x : at.x + at.w])


def _lay_in(image: RGB, at: Box, source: RGB, mask: FloatArray) -> tuple[RGB, FloatArray]:
    """`source` in place of the part `at` as far as its mask says, and the mask of the picture."""
    target = _cut(image, at)
    mixed = target + (source.astype(np.float32) - target) * mask[..., None]
    out, everywhere = image.copy(), np.zeros(image.shape[:2], np.float32)
    out[at.y : at.y + at.h, at.x : at.x + at.w] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    everywhere[at.y : at.y + at.h, at.x : at.x + at.w] = mask
    return out, everywhere


def _take_colours(source: RGB, target: RGB, mask: FloatArray) -> RGB:
    """Mean and spread of each channel of Lab within the mask, as the target has them.

    Reinhard et al., "Color Transfer between Images", 2001.
    """
    own, wanted = (
        cv2.cvtColor(part, cv2.COLOR_RGB2LAB).astype(np.float32) for part in (source, target)
    )
    inside = mask > 0.5 * mask.max()
    if not inside.any():
        return source
    mean, spread = own[inside].mean(0), own[inside].std(0) + 1
    new_mean, new_spread = wanted[inside].mean(0), wanted[inside].std(0) + 1
    moved = (own - mean) * (new_spread / spread) + new_mean
    lab = np.clip(moved, 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)


def _clone(source: RGB, target: RGB, mask: FloatArray) -> RGB:
    """The source with its gradients kept and the target's colours at the mask's border.

    Pérez et al., "Poisson Image Editing", 2003.
    """
    region = (mask > 0).astype(np.uint8) * np.uint8(255)
    region[[0, 1, -2, -1]] = 0  # it may not touch the border
    region[:, [0, 1, -2, -1]] = 0
    x, y, w, h = cv2.boundingRect(region)
    if min(w, h) < 8:
        return source
    # Cut to the region, since the centre that OpenCV asks for is rounded and would move it.
    middle = x + w // 2, y + h // 2
    return cv2.seamlessClone(source, target, region, middle, cv2.NORMAL_CLONE).astype(np.uint8)


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
