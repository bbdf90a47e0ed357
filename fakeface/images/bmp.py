"""BMP: Pillow reads most, NumPy those with bit masks, OpenCV those with run lengths.

Pillow knows a few masks only, and runs through run lengths in Python, which takes minutes.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile

from fakeface.images.encoded import Encoded, loader, unsupported

_PLAIN, _RUNS, _MASKS = (0,), (1, 2), (3, 6)
_OLD: Final = 12  # bytes of the header of OS/2, whose numbers are short


def read(data: bytes, frame: int = 0) -> Encoded:
    """Reads the header of a BMP."""
    start, length = struct.unpack_from("<II", data, 10)
    if length == _OLD:
        image = BmpImageFile(BytesIO(data))
        return Encoded(image.size, loader(image))
    width, height, _, bits, packing = struct.unpack_from("<iiHHI", data, 18)
    if bits not in (1, 4, 8, 16, 24, 32):
        raise unsupported(f"a BMP of a rare kind ({bits} bits)")
    if packing in _MASKS and bits in (16, 32):
        return _unpack_masks(data, start, length, width, height, bits, packing)
    if packing in _RUNS and length != 64:  # of OS/2, where the numbers mean other things
        return Encoded((width, abs(height)), lambda: _by_opencv(data))
    if packing not in _PLAIN:
        raise unsupported(f"a BMP of a rare kind (packed by method {packing})")
    image = BmpImageFile(BytesIO(data))
    return Encoded(image.size, loader(image))


def _unpack_masks(
    data: bytes, start: int, length: int, width: int, height: int, bits: int, packing: int
) -> Encoded:
    """A picture each of whose channels is some bits of a number of 16 or 32."""
    masks = struct.unpack_from("<4I" if length >= 56 or packing == 6 else "<3I", data, 54)
    if masks[3:] == (0,):
        masks = masks[:3]  # nothing is transparent
    rows, stride = abs(height), (width * bits + 31) // 32 * 4

    def load() -> Image.Image:
        stored = np.frombuffer(data, np.uint8, stride * rows, start).reshape(rows, stride)
        numbers = np.ascontiguousarray(stored[:, : width * bits // 8]).view(f"<u{bits // 8}")
        if height > 0:  # from the bottom up
            numbers = numbers[::-1]
        channels = [Image.fromarray(_channel(numbers, mask)) for mask in masks]
        return Image.merge("RGBA" if len(channels) == 4 else "RGB", channels)

    return Encoded((width, rows), load)


def _channel(numbers: npt.NDArray[np.unsignedinteger], mask: int) -> npt.NDArray[np.uint8]:
    """The bits of a mask, brought to 8."""
    if not mask:
        return np.zeros(numbers.shape, np.uint8)
    lowest = (mask & -mask).bit_length() - 1
    values, top = (numbers & numbers.dtype.type(mask)) >> lowest, mask >> lowest
    while top > 0xFFFF:  # so that the table below stays small
        values, top = values >> 8, top >> 8
    table: npt.NDArray[np.uint8] = np.round(np.arange(top + 1) * (255 / top)).astype(np.uint8)
    return np.asarray(table[values])


def _by_opencv(data: bytes) -> Image.Image:
    import cv2  # here, since it takes long to import

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError("OpenCV cannot decode it")
    return Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
