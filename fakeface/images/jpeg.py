"""JPEG, and MPO, which is several JPEGs one after the other.

Pillow and libjpeg see the tables and the pixels alone. The segments of metadata, of which a file
may hold millions, are walked here, and what is needed of them is taken along the way.
"""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import islice
from typing import Final

from PIL.JpegImagePlugin import JpegImageFile

from fakeface import types
from fakeface.images import directories
from fakeface.images.encoded import (
    MAX_PARTS,
    MAX_SCANS,
    Encoded,
    loader,
    too_many_parts,
    unsupported,
)

_MARKER: Final = re.compile(rb"\xff+([\x01-\xfe])", re.DOTALL)
_BARE: Final = {0x01, *range(0xD0, 0xD9)}  # without a length
_FRAMES: Final = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # start of frame
_SCAN, _END, _COMMENT = 0xDA, 0xD9, 0xFE
_GAIN_MAP: Final = re.compile(rb"ns\.adobe\.com/hdr-gain-map|iso:ts:21496|hdrgainmap")
_NEXT: Final = re.compile(rb"\xff\xd9\0*\xff\xd8\xff")
_MAX_IMAGES: Final = 100
_ODD = "a JPEG of a rare kind"
_RARE: Final = {
    0xC3: "lossless",
    0xC5: "hierarchical",
    0xC6: "hierarchical",
    0xC7: "lossless and hierarchical",
    0xCB: "lossless, with arithmetic coding",
    0xCD: "hierarchical, with arithmetic coding",
    0xCE: "hierarchical, with arithmetic coding",
    0xCF: "lossless and hierarchical, with arithmetic coding",
}


@dataclass(slots=True)
class _Header:
    """What stands before the pixels.

    Attributes:
        tables: the segments that the pixels need, as they are.
        scan: where the first scan begins; the end of the data where there is none.
        frame: the marker of the frame, which says how it is coded, and what follows; or None.
        exif, profile: their pieces, in the order of the file; those of the profile with numbers.
        index: where the TIFF structure is that lists the pictures of an MPO, and its bytes.
        gain_map: whether it is no picture but says how bright one is to be shown.
    """

    tables: list[bytes] = field(default_factory=list)
    scan: int = 0
    frame: tuple[int, bytes] | None = None
    exif: list[bytes] = field(default_factory=list)
    profile: list[bytes] = field(default_factory=list)
    index: tuple[int, bytes] | None = None
    gain_map: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        if self.frame is None or len(self.frame[1]) < 6:
            raise ValueError("no frame")
        height, width = struct.unpack_from(">HH", self.frame[1], 1)
        return width, height


def read(data: bytes, frame: int = 0) -> Encoded:
    """Reads the header of a JPEG, or of a picture in an MPO."""
    header = _walk(data)
    _check(header)
    starts = _pictures(data, header)
    if frame:  # the others are whole files too, and turned as the first is
        inner = read(data[starts[frame] :])
        return replace(inner, frames=len(starts))
    notes = []
    try:
        turned = directories.orientation(b"".join(header.exif)) if header.exif else 1
    except ValueError:
        turned = 1
        notes.append(directories.UNREADABLE)
    rest = data[header.scan :]
    end = rest.find(b"\xff\xd9")
    if rest.count(b"\xff\xda", 0, end if end >= 0 else len(rest)) > MAX_SCANS:
        raise types.ImageTooLarge(
            f"This JPEG file draws its picture in more than {MAX_SCANS} scans; save it again."
        )
    if b"\xff" * 64 in rest:
        rest = re.sub(rb"\xff{2,}", b"\xff", rest)  # padding, which libjpeg would read many times
    lean = b"".join([b"\xff\xd8", *header.tables, rest])
    image = JpegImageFile(BytesIO(lean))
    image.decodermaxblock = len(lean)  # in one go, for after each piece libjpeg starts anew
    return Encoded(
        image.size,
        loader(image),
        len(starts),
        turned,
        _profile(header),
        notes,
        _quantisation(image),
    )


def _quantisation(image: JpegImageFile) -> tuple[int, ...]:
    """The table of the first component; empty where the file lacks it."""
    return tuple(image.quantization.get(image.layer[0][3], ())) if image.layer else ()


def _walk(data: bytes, start: int = 0) -> _Header:
    """The segments up to the first scan."""
    found, at = _Header(), start + 2
    for _ in range(MAX_PARTS):
        mark = _MARKER.search(data, at)
        if mark is None or mark[1][0] == _END:
            found.scan = len(data)
            return found
        marker, at = mark[1][0], mark.end()
        if marker == _SCAN:
            found.scan = at - 2
            return found
        if marker in _BARE:
            continue
        if at + 2 > len(data):
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        if 0xE0 <= marker <= 0xEF or marker == _COMMENT:
            _note(found, marker, at + 2, data[at + 2 : at + length])
            keep = _colours(marker, data[at + 2 : at + length])
        else:
            keep = True
        if marker in _FRAMES and found.frame is None:
            found.frame = marker, data[at + 2 : at + length]
        if keep:
            found.tables.append(bytes([0xFF, marker]) + data[at : at + length])
        at += length
    raise too_many_parts("JPEG", "segments")


def _colours(marker: int, body: bytes) -> bool:
    """Whether a segment says how the channels are to be understood."""
    return (marker == 0xE0 and body[:5] == b"JFIF\0" and len(body) >= 14) or (
        marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12
    )


def _note(found: _Header, marker: int, at: int, body: bytes) -> None:
    """Takes what is needed of a segment of metadata."""
    if marker == 0xE1 and body.startswith(b"Exif\0"):
        # Where one segment is too small for the data, the next goes on.
        found.exif.append(body[6:] if found.exif else body)
    elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
        found.profile.append(body[12:])
    elif marker == 0xE2 and body.startswith(b"MPF\0") and found.index is None:
        found.index = at + 4, body[4:]
    if marker in (0xE1, 0xE2) and _GAIN_MAP.search(body):
        found.gain_map = True


def _check(header: _Header) -> None:
    """Refuses by name what libjpeg does not decode."""
    if header.frame is None or len(header.frame[1]) < 6:
        return  # which is damage, and libjpeg will say so
    marker, body = header.frame
    if marker in _RARE:
        raise unsupported(f"{_ODD} ({_RARE[marker]})")
    if body[0] != 8:
        raise unsupported(f"{_ODD} ({body[0]} bits)")
    if body[5] not in (1, 3, 4):
        raise unsupported(f"{_ODD} ({body[5]} channels)")


def _profile(header: _Header) -> bytes | None:
    """The pieces of the colour profile joined; nothing, which is damage, where one is missing."""
    pieces = {piece[0]: piece[2:] for piece in header.profile if len(piece) > 2}
    if not header.profile:
        return None
    wanted = header.profile[0][1] if len(header.profile[0]) > 1 else 0
    if sorted(pieces) != list(range(1, wanted + 1)):
        return b""
    return b"".join(pieces[number] for number in sorted(pieces))


def _pictures(data: bytes, header: _Header) -> list[int]:
    """Where the pictures of an MPO begin: those as large as the first, so no thumbnails.

    Its index says where; since some writers, Pillow among them, count wrongly, a JPEG that begins
    where another ends is one too.
    """
    if header.index is None:
        return [0]
    starts = {match.end() - 3 for match in islice(_NEXT.finditer(data), _MAX_IMAGES)}
    base, index = header.index
    with suppress(ValueError, KeyError, struct.error, OverflowError):  # it is damaged
        block = directories.Block(index)
        table = block.content(block.directory(block.first())[0][0xB002])[: 16 * _MAX_IMAGES]
        starts |= {base + place for *_, place, _ in struct.iter_unpack(block.order + "IIII", table)}
    return [0] + sorted(start for start in starts if _is_another(data, start, header))


def _is_another(data: bytes, start: int, first: _Header) -> bool:
    if data[start : start + 3] != b"\xff\xd8\xff":
        return False
    try:
        other = _walk(data, start)
        return other.size == first.size and not other.gain_map
    except (ValueError, types.ImageError):
        return False
