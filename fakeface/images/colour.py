"""Colour profiles: what the numbers of a picture mean, brought to sRGB.

A picture in a wide space such as ProPhoto RGB looks pale and greenish where its numbers are taken
for sRGB. Models learn and judge the colours that people see, so the embedded profile is applied
before anything looks at the pixels, in training and in use alike.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image, ImageCms

from fakeface.images.encoded import MAX_PROFILE

APPLIED: Final = "Its colours were brought to sRGB by the colour profile in the file."
TOO_LARGE: Final = (
    f"The colour profile in the file is larger than {MAX_PROFILE >> 20} MiB and was not applied."
)
DAMAGED: Final = "The colour profile in the file is damaged and was not applied."
MISMATCH: Final = "The colour profile in the file is for another kind of picture; not applied."
ODD: Final = "The colour profile in the file makes no sense and was not applied."

_SPACES: Final = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_CLASSES: Final = ("mntr", "scnr", "prtr", "spac")
_UNSEEN: Final = 3  # the largest change of a level, of 255, for which no pixel is touched
_DARK, _LIGHT = 100, 180  # what black may at most be, and white at least
_MIDDLE: Final = (30, 240)  # where middle grey may come to lie


@lru_cache(maxsize=16)
def transform(profile: bytes, mode: str) -> tuple[ImageCms.ImageCmsTransform | None, str]:
    """How to bring a picture to sRGB: relative colorimetric, with black point compensation.

    Args:
        profile: the ICC profile, as it stands in the file.
        mode: of the picture: L, RGB or CMYK.

    Returns:
        What turns a picture of that mode into RGB, or None where nothing is to be done or can be;
        and the sentence that says so, which is empty where the profile is sRGB itself.
    """
    if len(profile) > MAX_PROFILE:
        return None, TOO_LARGE
    try:
        opened = ImageCms.ImageCmsProfile(BytesIO(profile))
        if opened.profile.device_class not in _CLASSES:
            return None, ODD
        if _SPACES.get(opened.profile.xcolor_space) != mode:
            return None, MISMATCH
        made = ImageCms.buildTransform(
            opened,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if not _sane(made, mode):
            return None, ODD
        if mode != "CMYK" and _is_srgb(made, mode):
            return None, ""
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None, DAMAGED
    return made, APPLIED


def _sane(made: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether white stays light, black dark, and the greys between them in their order."""
    ramp = np.arange(256, dtype=np.uint8)[None]
    if mode == "CMYK":
        ramp = 255 - ramp
    channels = len(Image.new(mode, (1, 1)).getbands())
    grey = Image.merge(mode, [Image.fromarray(ramp)] * channels)
    levels = np.asarray(made.apply(grey)).astype(int)[0].sum(axis=1)
    if mode != "CMYK" and not 3 * _MIDDLE[0] <= levels[128] <= 3 * _MIDDLE[1]:
        return False
    ends = levels[0] <= 3 * _DARK and levels[-1] >= 3 * _LIGHT
    return bool(ends and np.diff(levels).min() >= -9)


def _is_srgb(made: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether the profile says what is assumed without one."""
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    if mode == "L":
        picture = steps[None]
    else:
        picture = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    image = Image.fromarray(picture)
    wanted = np.asarray(image.convert("RGB")).astype(int)
    return bool(np.abs(np.asarray(made.apply(image)) - wanted).max() <= _UNSEEN)
