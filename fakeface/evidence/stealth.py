"""Text that image generators hide in the lowest bits of the pixels ("stealth PNG info").

NovelAI, and extensions of Stable Diffusion WebUI, Forge and reForge, write their settings there, so
that they survive where PNG text is removed. The pixels are walked through column by column, from
the top; each gives the lowest bit of its alpha, or those of red, green and blue. The bits are
bytes, highest bit first: a signature of 15 letters, the length of the data in bits as 32 bits, the
data. The signature tells which channels are used, and whether the data are packed with gzip.

Format: https://github.com/ashen-sensored/sd_webui_stealth_pnginfo
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from fakeface.evidence.containers import png_chunks
from fakeface.evidence.fields import MAX_TEXT, Field, Trouble
from fakeface.evidence.text import quote
from fakeface.types import Finding

MAX_PIXELS: Final = 16_000_000  # of a picture that is decoded again to look for the signature

_SIGNATURES: Final = {
    "alpha": (b"stealth_pnginfo", b"stealth_pngcomp"),
    "colours": (b"stealth_rgbinfo", b"stealth_rgbcomp"),
}
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_HEAD: Final = 15  # bytes of a signature
_WORDS: Final = {"alpha": "alpha plane", "colours": "colours"}
_LIMIT: Final = f"the picture has more than {MAX_PIXELS // 10**6} megapixels"


class Mark(NamedTuple):
    """A signature in the pixels, and the text behind it.

    Attributes:
        signature: one of the four.
        plane: where it is, in words.
        text: what stands there, perhaps cut short; None where nothing can be read.
    """

    signature: str
    plane: str
    text: str | None


def read_marks(data: bytes) -> tuple[list[Mark], list[Trouble]]:
    """The marks of a PNG or a WebP; none for other formats. It raises nothing but MemoryError.

    Most pictures have none, and cost little: of a PNG only the first column is computed, unless
    that begins with a signature.

    Args:
        data: the whole file.
    """
    try:
        width, height, reader = _candidate(data)
        if reader is None:
            return [], []
        if width * height > MAX_PIXELS:
            return [], [Trouble("pixels", _LIMIT, limit=True)]
        return list(_marks(np.asarray(reader(BytesIO(_bare(data)))))), []
    except MemoryError:
        raise
    except Exception:  # damaged pixels are for the decoder to tell
        return [], []


_Reader: TypeAlias = Callable[[BytesIO], Image.Image]


def _candidate(data: bytes) -> tuple[int, int, _Reader | None]:
    """Width, height and reader of a picture that may have a mark; without a reader it has none."""
    if data.startswith(_PNG):
        width, height = struct.unpack_from(">II", data, 16)
        return width, height, PngImageFile if _png_may_have_mark(data) else None
    kind = data[12:16] if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else b""
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, WebPImageFile
    # Lossy colours keep no lowest bits, but a plane of alpha is lossless beside them too.
    if kind == b"VP8X" and (data[20] & 0x10 or b"VP8L" in data):
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return width, height, WebPImageFile
    return 0, 0, None


def _marks(pixels: npt.NDArray[np.uint8]) -> Iterator[Mark]:
    """The marks in uint8 (H, W, channels): grey and alpha, RGB or RGBA."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        return
    if pixels.shape[2] in (2, 4):
        yield from _mark(pixels[..., -1:], "alpha")
    if pixels.shape[2] in (3, 4):
        yield from _mark(pixels[..., :3], "colours")


def _mark(channels: npt.NDArray[np.uint8], plane: str) -> Iterator[Mark]:
    columns = channels.swapaxes(0, 1)  # so that the rows of one column follow each other

    def read(start: int, count: int) -> bytes:
        """So many bytes, from this bit on; fewer where the pixels end."""
        each = columns.shape[1] * columns.shape[2]  # bits of one column
        first, last = start // each, -(-(start + 8 * count) // each)
        bits = (columns[first:last] & 1).reshape(-1)[start - first * each :][: 8 * count]
        return np.packbits(bits).tobytes()

    signature = read(0, _HEAD)
    if signature not in _SIGNATURES[plane]:
        return
    (length,) = struct.unpack(">I", read(8 * _HEAD, 4).rjust(4, b"\0"))
    body = read(8 * (_HEAD + 4), min(length // 8, MAX_TEXT))
    yield Mark(signature.decode(), _WORDS[plane], _text(body, packed=signature.endswith(b"comp")))


def _text(body: bytes, *, packed: bool) -> str | None:
    """The text, as far as it goes: where the picture was cut, its end is missing."""
    if packed:
        try:
            body = zlib.decompressobj(wbits=31).decompress(body, MAX_TEXT)  # 31: gzip
        except zlib.error:
            return None
    return body.decode("utf-8", "replace") or None


def fields(mark: Mark) -> list[Field]:
    """The named texts of a mark, as a PNG would hold them: a JSON object, or settings as text."""
    if mark.text is None:
        return []
    try:
        found: Any = json.loads(mark.text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return [Field("pixels", "text", mark.text)]
    return [
        Field("pixels", str(name), text if isinstance(text, str) else json.dumps(text))
        for name, text in islice(found.items(), 50)
    ]


def make_finding(mark: Mark, generator: str | None) -> Finding:
    """A mark in words.

    Args:
        mark: one that was found.
        generator: whose trace its text is, if that is known.
    """
    name = generator or "a generator of the kind of Stable Diffusion"
    detail = (
        f"Programs that make pictures write their settings into the lowest bits of the pixels; the "
        f"{mark.plane} of this picture begins with their signature {mark.signature}. "
    )
    if mark.text is None:
        detail += "The text behind it could not be read: it is damaged or cut short. "
    else:
        detail += f"The text behind it is {quote(mark.text)}. "
    return Finding(
        "pixels",
        f"Trace of {name} in the {mark.plane} ({mark.signature})",
        detail + "It is not signed: anybody can write, copy or remove it.",
        "ai",
        "unsigned",
    )


# The first column of a PNG


def _png_may_have_mark(data: bytes) -> bool:
    """Whether the first column begins with a signature, or cannot be had without all others.

    Of a row, the filters need nothing to the left for the first pixel, so it can be computed from
    the ones above alone.
    """
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    channels = {2: 3, 4: 2, 6: 4}.get(colour)
    if depth != 8 or channels is None:
        return False
    rows = 8 * _HEAD
    if interlaced or height < rows or width > MAX_PIXELS // rows:
        return True
    pixels = np.zeros((rows, 1, channels), np.uint8)
    above = [0] * channels
    stride = 1 + width * channels
    for number, row in enumerate(_rows(data, stride, rows)):
        above = [_undo_filter(row[0], value, up) for value, up in zip(row[1:], above)]
        pixels[number, 0] = above
    return any(True for _ in _marks(pixels))


def _undo_filter(kind: int, value: int, up: int) -> int:
    """A byte of the first pixel of a row: PNG's filters 2 and 4 add the one above, 3 half of it."""
    return (value + (up if kind in (2, 4) else up // 2 if kind == 3 else 0)) & 255


def _rows(data: bytes, stride: int, count: int) -> Iterator[bytes]:
    """The first bytes of the first rows: the filter and one pixel."""
    inflater = zlib.decompressobj()
    buffer = b""
    for chunk in _idat(data):
        packed: bytes | memoryview = chunk
        while packed:
            buffer += inflater.decompress(packed, max(stride, 65_536))
            packed = inflater.unconsumed_tail
            while len(buffer) >= stride:
                yield buffer[:5]
                buffer = buffer[stride:]
                count -= 1
                if not count:
                    return


def _idat(data: bytes) -> Iterator[memoryview]:
    for kind, chunk in png_chunks(memoryview(data)):
        if kind == b"IDAT":
            yield chunk[8:-4]


def _bare(data: bytes) -> bytes:
    """A PNG without what is beside its pixels, which must not keep Pillow from them."""
    if not data.startswith(_PNG):
        return data
    chunks = png_chunks(memoryview(data))
    return _PNG + b"".join(chunk for kind, chunk in chunks if kind[:1].isupper())
