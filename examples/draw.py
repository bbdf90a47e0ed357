"""Makes the pictures of this folder: `python -m examples.draw`. Nothing in it is random.

The two photographs are in the public domain, and packages that the tests install bring them along:
Grace Hopper (matplotlib) and Eileen Collins (scikit-image). The two fakes are made of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import cv2
import matplotlib.cbook
import numpy as np
import numpy.typing as npt
import skimage.data
from PIL import Image, ImageDraw

from fakeface.types import RGB, Box
from train.augment.blend import self_blend

FOLDER = Path(__file__).parent
SCALE = 3  # drawn large and shrunk, which smooths the edges
SIZE = 640, 480
QUALITY = 92  # of the JPEG files
SEED = 5  # of the self-blend

# The right eye, the left eye, the tip of the nose and the corners of the mouth, as (x, y) in
# pixels. YuNet found them once; written down, they need no detector.
Landmarks = npt.NDArray[np.float32]
HOPPER: Landmarks = np.array(
    [(227.1, 193.3), (307.8, 195.4), (266.5, 240.0), (228.5, 267.9), (302.2, 269.6)], np.float32
)
COLLINS: Landmarks = np.array(
    [(200.1, 101.8), (247.1, 102.6), (220.4, 124.5), (198.6, 142.8), (239.7, 143.6)], np.float32
)
HOPPER_FACE = Box(183, 120, 170, 213)


def hopper() -> RGB:
    """Rear Admiral Grace Hopper, United States Navy, 1984."""
    return np.array(Image.open(BytesIO(hopper_file())).convert("RGB"))


def hopper_file() -> bytes:
    """The same as the JPEG that matplotlib ships."""
    path = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    return Path(path).read_bytes()


def collins() -> RGB:
    """The astronaut Eileen Collins, NASA, 1993."""
    return np.array(skimage.data.astronaut()[..., :3])


def swap_face(source: RGB, there: Landmarks, target: RGB, here: Landmarks) -> RGB:
    """The face of one photograph in the place of the face of another.

    It is moved, turned and scaled until its landmarks lie on the others (least median of squares),
    given the mean of the other face's colours and half of its contrast (in CIELAB), and blended in
    by Poisson image editing (Pérez et al., SIGGRAPH 2003).

    Args:
        source: the photograph that the face comes from, RGB uint8 (H, W, 3).
        there: its landmarks, float32 (5, 2).
        target: the photograph that the face is put into.
        here: its landmarks.
    """
    height, width = target.shape[:2]
    matrix, _ = cv2.estimateAffinePartial2D(there, here, method=cv2.LMEDS)
    moved = cv2.warpAffine(
        source, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    mask = oval(here, (height, width))
    x, y, w, h = cv2.boundingRect(mask)
    toned = match_colours(moved.astype(np.uint8), target, mask > 0)
    centre = (x + w // 2, y + h // 2)
    return cv2.seamlessClone(toned, target, mask, centre, cv2.NORMAL_CLONE).astype(np.uint8)


def oval(landmarks: Landmarks, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """An ellipse from the brows to the chin of a face: 255 inside, 0 outside, (H, W)."""
    eyes, mouth = landmarks[:2].mean(axis=0), landmarks[3:].mean(axis=0)
    across = landmarks[1] - landmarks[0]
    axes = 2 * 0.98 * np.linalg.norm(across), 2 * 1.12 * np.linalg.norm(mouth - eyes)
    angle = np.degrees(np.arctan2(across[1], across[0]))
    x, y = (eyes + mouth) / 2
    mask = np.zeros(shape, np.uint8)
    turned = (float(x), float(y)), (float(axes[0]), float(axes[1])), float(angle)
    return cv2.ellipse(mask, turned, (255,), -1).astype(np.uint8)


def match_colours(image: RGB, wanted: RGB, where: npt.NDArray[np.bool_]) -> RGB:
    """A picture with the mean colour, and half of the contrast, that another has in a region."""
    own, other = (
        cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32) for picture in (image, wanted)
    )
    gain = 0.5 + 0.5 * other[where].std(axis=0) / own[where].std(axis=0)
    lab = (own - own[where].mean(axis=0)) * gain + other[where].mean(axis=0)
    toned = cv2.cvtColor(np.clip(lab, 0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)
    return toned.astype(np.uint8)


def room() -> Image.Image:
    """A room at dusk with a window, a table and a plant, and nobody in it."""
    picture = Image.new("RGB", (SIZE[0] * SCALE, SIZE[1] * SCALE), "#e9dfcf")
    pen = ImageDraw.Draw(picture)

    def box(x: int, y: int, w: int, h: int, colour: str) -> None:
        pen.rectangle([n * SCALE for n in (x, y, x + w, y + h)], colour)

    def ring(x: int, y: int, w: int, h: int, colour: str) -> None:
        pen.ellipse([n * SCALE for n in (x, y, x + w, y + h)], colour)

    box(0, 340, 640, 140, "#b98d63")
    box(0, 330, 640, 10, "#d6c7b0")
    box(90, 60, 220, 190, "#fffaf0")
    for row in range(170):
        sky = tuple(int(a + (b - a) * row / 170) for a, b in ((96, 246), (132, 190), (178, 140)))
        box(100, 70 + row, 200, 1, "#{:02x}{:02x}{:02x}".format(*sky))
    ring(210, 165, 44, 44, "#fbe3a1")
    pen.polygon([n * SCALE for n in (100, 240, 160, 190, 220, 225, 260, 200, 300, 240)], "#54657d")
    box(196, 70, 8, 170, "#fffaf0")
    box(360, 250, 220, 14, "#7c5433")
    box(380, 264, 12, 130, "#7c5433")
    box(548, 264, 12, 130, "#7c5433")
    pen.polygon([n * SCALE for n in (440, 205, 500, 205, 490, 250, 450, 250)], "#3f6d8c")
    for dx, dy, w, h in ((430, 110, 26, 100), (455, 90, 28, 118), (484, 120, 26, 90)):
        ring(dx, dy, w, h, "#4d7c4f")
    return picture.resize(SIZE, Image.Resampling.LANCZOS).quantize(64)


def draw() -> Mapping[str, bytes]:
    """The files of this folder, by name."""
    swapped = swap_face(hopper(), HOPPER, collins(), COLLINS)
    blended, _ = self_blend(hopper(), HOPPER_FACE, np.random.default_rng(SEED))
    return {
        "grace_hopper.jpg": hopper_file(),
        "eileen_collins.jpg": _encode(Image.fromarray(collins()), "JPEG", quality=QUALITY),
        "face_swap.jpg": _encode(Image.fromarray(swapped), "JPEG", quality=QUALITY),
        "self_blend.jpg": _encode(Image.fromarray(blended), "JPEG", quality=QUALITY),
        "empty_room.png": _encode(room(), "PNG", optimize=True),
    }


def _encode(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def main() -> None:
    """Write all of them."""
    for name, data in draw().items():
        (FOLDER / name).write_bytes(data)


if __name__ == "__main__":
    main()
