"""From the bytes of a file to its metadata: where each format keeps it, and from nowhere else.

The chunks of a PNG, the segments before the scan of a JPEG, the chunks of a WebP, the items of an
AVIF or HEIC, the tags of a TIFF. Pixels and bytes after the end of the picture are never searched,
for anything may be in them: a gain map or a film behind a JPEG is no statement about it.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from fakeface.evidence.exif import read_exif
from fakeface.evidence.fields import (
    DAMAGED,
    MAX_CHUNKS,
    MAX_FIELDS,
    MAX_PARTS,
    MAX_TEXT,
    MAX_TOTAL,
    Field,
    Part,
    Trouble,
)
from fakeface.evidence.iptc import read_records, read_resources

_XMP_PREFIX: Final = b"http://ns.adobe.com/xap/1.0/\0"
_PHOTOSHOP_PREFIX: Final = b"Photoshop 3.0\0"
_NESTED: Final = frozenset(
    b"moov trak mdia minf stbl dinf edts udta mvex moof traf meta iprp ipco".split()
)
_RAW_PROFILE: Final = re.compile("(?i)Raw profile type (exif|app1|xmp|iptc|8bim)")


def read_parts(data: bytes) -> Iterator[Part]:
    """Fields, packets of XMP and troubles, in the order of the file; none for unknown formats.

    Raises:
        Exception: of any kind, where the order of the parts itself is damaged.
    """
    for pattern, reader in _READERS:
        if re.match(pattern, data[:64], re.DOTALL):
            return reader(memoryview(data))
    return iter(())


def has_too_many_parts(data: bytes) -> bool:
    """Whether a file has so many parts that a reader with no limit of its own would take minutes.

    Args:
        data: a whole file; of an unknown format it is False.
    """
    for pattern, walk in _WALKS:
        if re.match(pattern, data[:64], re.DOTALL):
            try:
                return sum(1 for _ in islice(walk(memoryview(data)), MAX_PARTS + 1)) > MAX_PARTS
            except (struct.error, IndexError, RecursionError):  # cut short, so nothing follows
                return False
    return False


def png_chunks(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """The kind and the whole of each chunk of a PNG, up to its end and at most MAX_CHUNKS."""
    at = 8
    for _ in range(MAX_CHUNKS):
        if at + 12 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + length > len(data):
            return
        yield kind, data[at : at + 12 + length]
        if kind == b"IEND":  # what follows the end is no part of the picture
            return
        at += 12 + length


def _png(data: memoryview) -> Iterator[Part]:
    tried, room = 0, MAX_TOTAL
    for kind, chunk in png_chunks(data):
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"eXIf"):
            continue
        tried += 1
        if tried > MAX_FIELDS:
            yield Trouble("png", f"there are more than {MAX_FIELDS} of them", limit=True)
            return
        place = "exif" if kind == b"eXIf" else "png"
        body = chunk[8:-4]
        (checksum,) = struct.unpack_from(">I", chunk, len(chunk) - 4)
        if zlib.crc32(body, zlib.crc32(kind)) != checksum:
            yield Trouble(place, "a checksum is wrong")
        elif kind == b"eXIf":
            yield from read_exif(body)
        else:
            try:
                name, text, encoding = _unpack_text(kind, bytes(body[: MAX_TEXT + 200]))
            except (ValueError, IndexError, zlib.error):
                yield Trouble("png", DAMAGED)
                continue
            room -= len(text)
            if room < 0:
                yield Trouble("png", f"they are more than {MAX_TOTAL >> 20} MiB", limit=True)
                return
            yield from _png_text(name, text, encoding)


def _unpack_text(kind: bytes, body: bytes) -> tuple[str, bytes, str]:
    """The keyword, the text and its encoding, of a chunk of text.

    Raises:
        ValueError, IndexError, zlib.error: it is damaged.
    """
    keyword, rest = body.split(b"\0", 1)
    encoding = "latin-1"
    if kind == b"zTXt":
        rest = _inflate(rest[1:])  # the first byte names the one method there is
    elif kind == b"iTXt":
        encoding = "utf-8"
        packed, rest = rest[0], rest[2:]
        _, _, rest = rest.split(b"\0", 2)  # the language and the translated keyword
        rest = _inflate(rest) if packed else rest
    return keyword.decode("latin-1"), rest, encoding


def _png_text(name: str, text: bytes, encoding: str) -> Iterator[Part]:
    if name == "XML:com.adobe.xmp":
        yield text
        return
    if len(text) > MAX_TEXT:
        yield Trouble("png", f"one is larger than {MAX_TEXT >> 20} MiB", limit=True)
    if profile := _RAW_PROFILE.fullmatch(name):
        yield from _raw_profile(profile[1].lower(), text)
    else:
        yield Field("png", name, text[:MAX_TEXT].decode(encoding, "replace"))


def _raw_profile(kind: str, text: bytes) -> Iterator[Part]:
    """Metadata that ImageMagick and its relatives write as text: name, length, hex digits."""
    place = {"app1": "exif", "8bim": "iptc"}.get(kind, kind)
    try:
        _, _, digits = text.strip().split(b"\n", 2)  # the kind and the length come first
        body = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        yield Trouble(place, f"the PNG text that holds them (Raw profile type {kind}) is damaged")
        return
    if body.startswith(_XMP_PREFIX):
        yield body[len(_XMP_PREFIX) :]
    elif kind == "xmp":
        yield body
    elif kind in ("exif", "app1"):
        yield from read_exif(memoryview(body))
    elif body[:1] == b"\x1c":
        yield from read_records(body)
    else:
        yield from read_resources(body.removeprefix(_PHOTOSHOP_PREFIX))


def _inflate(packed: bytes) -> bytes:
    """The first bytes of a packed text: at most one more than MAX_TEXT, however many it has.

    Raises:
        zlib.error: damaged or cut short.
    """
    inflater = zlib.decompressobj()
    text = inflater.decompress(packed, MAX_TEXT + 1)
    if len(text) <= MAX_TEXT and not inflater.eof:
        raise zlib.error("the text is cut short")
    return text


def _segments(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The marker and the body of each segment of a JPEG before its pixels."""
    at = 2
    marks = re.compile(rb"\xff+([^\xff])", re.DOTALL)
    for _ in range(MAX_CHUNKS):
        mark = marks.match(data, at)
        if mark is None:
            return
        marker, at = mark[1][0], mark.end()
        if marker in (0xD9, 0xDA):  # the end, or the pixels
            return
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:  # without a length
            continue
        (length,) = struct.unpack_from(">H", data, at)
        yield marker, data[at + 2 : at + length]
        at += max(length, 2)


def _jpeg(data: memoryview) -> Iterator[Part]:
    tried = 0
    for marker, segment in _segments(data):
        if marker not in (0xE1, 0xED, 0xFE):
            continue
        tried += 1
        if tried > MAX_FIELDS:
            yield Trouble("file", f"there are more than {MAX_FIELDS} segments of it", limit=True)
            return
        body = bytes(segment)
        if marker == 0xE1 and body.startswith(b"Exif\0"):
            yield from read_exif(segment[6:])
        elif marker == 0xE1 and body.startswith(_XMP_PREFIX):
            yield body[len(_XMP_PREFIX) :]
        elif marker == 0xED and body.startswith(_PHOTOSHOP_PREFIX):
            yield from read_resources(body[len(_PHOTOSHOP_PREFIX) :])
        elif marker == 0xFE:
            yield Field("comment", "Comment", body.decode("utf-8", "replace"))


def _riff_chunks(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """The kind and the body of each chunk of a WebP."""
    (size,) = struct.unpack_from("<I", data, 4)
    end, at = min(len(data), 8 + size), 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > end:
            return
        kind, length = struct.unpack_from("<4sI", data, at)
        yield kind, data[at + 8 : min(at + 8 + length, end)]
        at += 8 + length + length % 2


def _webp(data: memoryview) -> Iterator[Part]:
    tried = 0
    for kind, body in _riff_chunks(data):
        if kind not in (b"EXIF", b"XMP "):
            continue
        tried += 1
        if tried > MAX_FIELDS:
            yield Trouble("file", f"there are more than {MAX_FIELDS} chunks of it", limit=True)
            return
        if kind == b"EXIF":
            yield from read_exif(body)
        else:
            yield bytes(body[: MAX_TEXT + 1])


def _gif_blocks(data: memoryview) -> Iterator[int]:
    """Where each block and each part of a block of a GIF begins.

    Raises:
        IndexError: it is cut short.
    """
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    while data[at] in (0x21, 0x2C):  # an extension, or a picture with a table of colours
        table = data[at] == 0x2C and data[at + 9]
        at += 11 + (3 << (table & 7) + 1 if table & 0x80 else 0) if data[at] == 0x2C else 2
        while data[at]:
            yield at
            at += 1 + data[at]
        yield at
        at += 1


def _all_boxes(data: memoryview, depth: int = 10) -> Iterator[bytes]:
    """The kind of each box of an AVIF or HEIC, and of the boxes in it."""
    for kind, body in _boxes(data):
        yield kind
        if kind in _NESTED and depth:
            yield from _all_boxes(body[4:] if kind == b"meta" else body, depth - 1)


def _bmff(data: memoryview) -> Iterator[Part]:
    """The items "Exif" and XMP of an AVIF or HEIC, where they lie in one piece in the file."""
    meta = next((body for kind, body in _boxes(data) if kind == b"meta"), None)
    if meta is None:
        return
    boxes = {kind: body for kind, body in _boxes(meta[4:])}  # a version and flags come first
    places = dict(_item_places(boxes[b"iloc"]))
    for kind, body in _boxes(boxes[b"iinf"][6 if boxes[b"iinf"][0] == 0 else 8 :]):
        if kind != b"infe" or body[0] < 2:
            continue
        wide = body[0] > 2
        (item,) = struct.unpack_from(">I" if wide else ">H", body, 4)
        if item not in places:
            continue
        at = 10 if wide else 8
        what, more = bytes(body[at : at + 4]), bytes(body[at + 4 : at + 200])
        start, length = places[item]
        value = data[start : start + length]
        if what == b"Exif":
            (skip,) = struct.unpack_from(">I", value, 0)
            yield from read_exif(value[4 + skip :])
        elif what == b"mime" and more.split(b"\0")[1:2] == [b"application/rdf+xml"]:
            yield bytes(value[: MAX_TEXT + 1])


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at = 0
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        size = size or len(data) - at
        if size < head:
            return
        yield kind, data[at + head : at + size]
        at += size


def _item_places(iloc: memoryview) -> Iterator[tuple[int, tuple[int, int]]]:
    """Item number -> offset in the file and length, of items of one extent."""
    version, at = iloc[0], 4
    sizes = iloc[at] >> 4, iloc[at] & 15, iloc[at + 1] >> 4, iloc[at + 1] & 15 if version else 0
    at += 2

    def number(width: int) -> int:
        nonlocal at
        at += width
        if at > len(iloc):
            raise ValueError("iloc is cut short")
        return int.from_bytes(iloc[at - width : at], "big")

    steps = 0
    for _ in range(number(4 if version == 2 else 2)):
        item = number(4 if version == 2 else 2)
        method = number(2) & 15 if version else 0
        number(2)  # which file: this one
        base = number(sizes[2])
        extents = number(2)
        for _ in range(extents):
            steps += 1
            if steps > MAX_CHUNKS:  # numbers of no width take no room, so their count has no end
                raise ValueError("iloc lists too much")
            number(sizes[3])
            start, length = base + number(sizes[0]), number(sizes[1])
            if extents == 1 and method == 0:
                yield item, (start, length)


_PNG: Final = rb"\x89PNG\r\n\x1a\n"
_JPEG: Final = rb"\xff\xd8\xff"
_WEBP: Final = rb"RIFF.{4}WEBP"
_BMFF: Final = rb".{4}ftyp(.{4}){0,12}?(avi[fs]|hei[cxms]|hev[cxms]|mif1|msf1)"
_READERS: Final[tuple[tuple[bytes, Callable[[memoryview], Iterator[Part]]], ...]] = (
    (_PNG, _png),
    (_JPEG, _jpeg),
    (_WEBP, _webp),
    (rb"II\*\0|MM\0\*", read_exif),
    (_BMFF, _bmff),
)
_WALKS: Final[tuple[tuple[bytes, Callable[[memoryview], Iterator[object]]], ...]] = (
    (_PNG, png_chunks),
    (_JPEG, _segments),
    (_WEBP, _riff_chunks),
    (rb"GIF8[79]a", _gif_blocks),
    (_BMFF, _all_boxes),
)
