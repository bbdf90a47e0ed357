"""What a face gives a model to go by: its size, sharpness, compression and familiarity."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
import numpy.typing as npt
from PIL.JpegImagePlugin import JpegImageFile

from fakeface.types import RGB, Box, FloatArray, Quality

# Where warnings begin. Measured with the light model on 933 photographs, and generated and edited
# faces, of val, of which it was unsure about 15 %.
SMALL = 80  # pixels: of smaller faces it was unsure about 28 %; 1 training face in 20 is smaller
BLURRED = 18.0  # it was unsure about 40 % (6 of 15); 1 training face in 45 is less sharp
COMPRESSED = 50  # saved again at quality 40, 19 % were unsure; training itself goes down to 35
UNFAMILIAR = 0.01  # the share of validation faces that are farther away

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


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The faces that a model was trained on, as far as familiarity needs them.

    A face is as unfamiliar as its features are far from the nearer class: the Mahalanobis distance
    of Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples" (NeurIPS
    2018), under the covariance within the classes. That is shrunk: its variances are kept along
    the leading directions only, and along all others one mean variance stands for them, which
    keeps the file small and the many weak directions from deciding.

    It tells what is no usual face, and not a generator that was never seen: with the light model,
    noise, coins and a cup of coffee are farther than 99 of 100 validation faces, and so are 0.3 %
    of the faces of unseen sources, where by chance it would be 1 %.

    Attributes:
        means: (2, D), of the features of real and of fake training faces.
        directions: (D, R), orthonormal columns.
        variances: (R,), along these.
        rest: the variance along any direction across them.
        distances: (M,), of validation faces, rising.
    """

    means: FloatArray
    directions: FloatArray
    variances: FloatArray
    rest: float
    distances: FloatArray

    def __post_init__(self) -> None:
        width, rank = self.directions.shape
        if self.means.shape != (2, width) or self.variances.shape != (rank,):
            raise ValueError("means, directions and variances of a reference do not fit together")
        if not (min(self.variances, default=1.0) > 0 and self.rest > 0):
            raise ValueError("the variances of a reference are above 0")
        if not self.distances.size or not (np.diff(self.distances) >= 0).all():
            raise ValueError("a reference needs distances that rise")

    def distance(self, features: FloatArray) -> FloatArray:
        """How far features (N, D) are from the nearer class; float32 (N,), squared."""
        away = features[:, None] - self.means[None]
        along = away @ self.directions
        # Pythagoras gives what is left across the directions; rounding may take it below 0.
        across = np.maximum((away**2).sum(2) - (along**2).sum(2), 0)
        squared = (along**2 / self.variances).sum(2) + across / self.rest
        return np.asarray(squared.min(axis=1), np.float32)

    def familiarity(self, features: FloatArray) -> FloatArray:
        """The share of validation faces that are farther away than each of (N, D); float32 (N,)."""
        nearer = np.searchsorted(self.distances, self.distance(features), side="right")
        return (1 - nearer / self.distances.size).astype(np.float32)


def measure(
    image: RGB, box: Box, jpeg_quality: int | None = None, familiarity: float | None = None
) -> Quality:
    """The quality of one face, with a sentence for whatever makes its score doubtful.

    Args:
        image: upright RGB uint8 (H, W, 3).
        box: the face in it.
        jpeg_quality: of its file; see `jpeg_quality`.
        familiarity: of the face; see `Reference.familiarity`.
    """
    side, sharp = min(box.w, box.h), sharpness(image, box)
    warnings = []
    if side < SMALL:
        warnings.append(
            f"The face is only {side} pixels wide, and below {SMALL} models are unsure about twice "
            "as often; a larger copy of the picture would tell more."
        )
    if sharp < BLURRED:
        warnings.append(
            "The face is blurred or smoothed, so the traces that models look for may be gone; a "
            "sharper copy of the picture would tell more."
        )
    if jpeg_quality is not None and jpeg_quality < COMPRESSED:
        warnings.append(
            f"The file is strongly compressed (JPEG quality about {jpeg_quality}), which hides "
            "traces; look for an earlier copy of the picture."
        )
    if familiarity is not None and familiarity < UNFAMILIAR:
        warnings.append(
            "This face is unlike those that the model learnt from (more so than 99 of 100 faces "
            "that it was checked with), so its score may mean little."
        )
    return Quality(side, sharp, jpeg_quality, familiarity, tuple(warnings))


def jpeg_quality(data: bytes) -> int | None:
    """The quality at which a file was last saved as JPEG; None where it is no JPEG.

    Libraries after the Independent JPEG Group's scale the table of the standard by the quality
    (jpeg_set_quality in its jcparam.c). Of the tables of all hundred qualities, the one nearest to
    the file's is told; cameras and Photoshop have tables of their own, for which it is a reading
    on that scale.

    Returns:
        1 to 100. Earlier, stronger compression of the same picture does not show in it.
    """
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    try:
        image = JpegImageFile(BytesIO(data))
        table = np.array(image.quantization[image.layer[0][3]])  # that of the first component
    except Exception:  # a damaged header; `images.decode` says so to people
        return None
    return int(np.abs(_tables() - table).sum(axis=1).argmin()) + 1


def _tables() -> npt.NDArray[np.int_]:
    """The luminance tables (100, 64) of the qualities 1 to 100."""
    quality = np.arange(1, 101)[:, None]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.asarray(np.clip((_LUMINANCE * scale + 50) // 100, 1, 255))


def sharpness(image: RGB, box: Box) -> float:
    """Variance of the Laplacian of a face's grey levels, at a fixed size of the face.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy" (ICPR 2000). Enlarging a
    small face adds no detail, so small faces are less sharp.
    """
    grey = cv2.cvtColor(image[box.y : box.y + box.h, box.x : box.x + box.w], cv2.COLOR_RGB2GRAY)
    factor = _SHARPNESS_SIDE / min(box.w, box.h)
    size = (round(box.w * factor), round(box.h * factor))
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return float(cv2.Laplacian(cv2.resize(grey, size, interpolation=kind), cv2.CV_32F).var())
