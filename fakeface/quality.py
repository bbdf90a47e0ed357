"""Is a face good enough to judge: its size, sharpness and compression."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from fakeface.types import RGB, Box, FloatArray, Picture, Quality

# Where warnings begin. Measured with the light model on 933 photographs, and generated and edited
# faces, of val, of which it was unsure about 15 %.
SMALL = 80  # pixels: of smaller faces it was unsure about 28 %; 1 training face in 20 is smaller
BLURRED = 18.0  # it was unsure about 40 % (6 of 15); 1 training face in 45 is less sharp
COMPRESSED = 50  # saved again at quality 40, 19 % were unsure; training itself goes down to 35
UNUSUAL = 0.01  # the share of validation photographs that are farther away

_SHARPNESS_SIDE = 128  # pixels that the shorter side of a face is brought to

# Luminance of the JPEG standard (ITU-T T.81, 1992, table K.1), row by row.
_LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
).ravel()


def measure(
    picture: Picture,
    boxes: Sequence[Box],
    familiarity: FloatArray | None = None,
    doubted: Sequence[bool] = (),
) -> list[Quality]:
    """The quality of each face of a picture, with a sentence for what makes its score doubtful.

    Args:
        picture: as it was read.
        boxes: its faces.
        familiarity: of each face, float32 (N,); see `out_of_distribution.Reference.score`.
        doubted: for each face, see `Face.doubted`; empty where the detector cannot tell.
    """
    jpeg = estimate_jpeg_quality(picture.quantisation)
    near = [None] * len(boxes) if familiarity is None else map(float, familiarity)
    return [
        _describe(measure_sharpness(picture.rgb, box), box, jpeg, close, doubt)
        for box, close, doubt in zip(boxes, near, doubted or [False] * len(boxes))
    ]


def _describe(
    sharpness: float, box: Box, jpeg: int | None, familiarity: float | None, doubted: bool
) -> Quality:
    side, warnings = min(box.w, box.h), []
    if side < SMALL:
        warnings.append(
            f"The face is only {side} pixels wide, and below {SMALL} models are unsure about twice "
            "as often; a larger copy of the picture would tell more."
        )
    if sharpness < BLURRED:
        warnings.append(
            "The face is blurred or smoothed, so the traces that models look for may be gone; a "
            "sharper copy of the picture would tell more."
        )
    if jpeg is not None and jpeg < COMPRESSED:
        warnings.append(
            f"The file is strongly compressed (JPEG quality about {jpeg}), which hides "
            "traces; look for an earlier copy of the picture."
        )
    if familiarity is not None and familiarity < UNUSUAL:
        warnings.append(
            "This face is unlike those that the model learnt from (more so than 99 of 100 "
            "photographs that it was checked with): it may be a painting, a drawing or a render, "
            "or a photograph under a strong filter. The model was trained on photographs, so its "
            "score may mean little."
        )
    if doubted:
        warnings.append(
            "The face detector is less sure of this face than of 98 of 100 photographs: it may be "
            "covered (a mask, a hand, sunglasses) or drawn, painted or made of plastic, which the "
            "model did not learn to judge."
        )
    return Quality(side, sharpness, jpeg, familiarity, tuple(warnings))


def estimate_jpeg_quality(quantisation: Sequence[int]) -> int | None:
    """The quality at which a file was last saved as JPEG; None where it is no JPEG.

    Libraries after the Independent JPEG Group's scale the table of the standard by the quality
    (jpeg_set_quality in its jcparam.c). The result is the quality, of all hundred, whose table is
    nearest to the file's. Cameras and Photoshop have tables of their own, for which it is only a
    comparison with that scale.

    Args:
        quantisation: see `Picture`.

    Returns:
        1 to 100. Earlier, stronger compression of the same picture does not show in it.
    """
    if len(quantisation) != 64:
        return None
    return int(np.abs(_tables() - np.array(quantisation)).sum(axis=1).argmin()) + 1


def _tables() -> npt.NDArray[np.int_]:
    """The luminance tables (100, 64) of the qualities 1 to 100."""
    quality = np.arange(1, 101)[:, None]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.asarray(np.clip((_LUMINANCE * scale + 50) // 100, 1, 255))


def measure_sharpness(image: RGB, box: Box) -> float:
    """Variance of the Laplacian of a face's grey levels, at a fixed size of the face.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy" (ICPR 2000). Enlarging a
    small face adds no detail, so small faces are less sharp.
    """
    grey = cv2.cvtColor(image[box.y : box.y + box.h, box.x : box.x + box.w], cv2.COLOR_RGB2GRAY)
    factor = _SHARPNESS_SIDE / min(box.w, box.h)
    size = (round(box.w * factor), round(box.h * factor))
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return float(cv2.Laplacian(cv2.resize(grey, size, interpolation=kind), cv2.CV_32F).var())
