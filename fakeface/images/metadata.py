"""From the bytes of a file to the words that its metadata holds, bounded in size and in time.

Only the places where the format keeps metadata are read: the chunks of a PNG, the segments before
the scan of a JPEG, the chunks of a WebP, the items of an AVIF or HEIC, the tags of a TIFF. Pixels
and bytes after the end of the picture are never searched, for anything may be in them.

Pillow would do some of this, but it reads every tag of EXIF data, and a small file may declare
thousands of tags that all point to the same megabytes. `swells` tells whether one does.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias
from xml.parsers import expat

MAX_TEXT: Final = 2**20  # bytes of one field, unpacked, and of one XMP packet
MAX_TOTAL: Final = 4 * MAX_TEXT
MAX_FIELDS: Final = 256
MAX_CHUNKS: Final = 100_000  # or segments, or boxes, of one file
MAX_SURPLUS: Final = 32 * 2**20  # bytes that reading all tags may take beyond what a file holds

_MAX_TAGS: Final = 512  # of one directory of EXIF
_MAX_ELEMENTS: Final = 20_000  # of one XMP packet
_MAX_DEPTH: Final = 64


@dataclass(frozen=True, slots=True)
class Field:
    """One named text.

    Attributes:
        place: "png" (text chunks), "exif", "xmp", "iptc" (the older IIM records) or "comment".
        name: the keyword, the tag's name, or the XMP property without its namespace.
        text: what it says, at most MAX_TEXT characters, as it stands in the file.
    """

    place: str
    name: str
    text: str


_Part: TypeAlias = Field | bytes  # bytes are a packet of XMP

_TAGS: Final = {
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x013B: "Artist",
    0x8298: "Copyright",
    0x9286: "UserComment",
    0x9C9C: "XPComment",
    0xA434: "LensModel",
}
_XMP_TAG: Final = 0x02BC
_EXIF_POINTER: Final = 0x8769
_ORDERS: Final = {b"II": "<", b"MM": ">"}
_EXIF_PREFIX: Final = b"Exif\0\0"
_POINTERS: Final = (_EXIF_POINTER, 0x8825, 0xA005)  # to the directories of EXIF, GPS and Interop

# Bytes of one element of each kind, in the file.
_KINDS: Final = {1: (1, 2, 6, 7), 2: (3, 8), 4: (4, 9, 11, 13), 8: (5, 10, 12, 16, 17, 18)}
_SIZES: Final = {kind: size for size, kinds in _KINDS.items() for kind in kinds}
# Bytes of one element in memory: text as it is, rationals as objects, other numbers in tuples.
_WEIGHTS: Final = {1: 1, 2: 1, 7: 1, 5: 280, 10: 280}
_WEIGHT: Final = 50
_ENTRY_WEIGHT: Final = 200
_MAX_PREFIXES: Final = 8  # of "Exif" before EXIF data: some writers put two

_IIM: Final = {65: "OriginatingProgram", 110: "Credit", 120: "Caption"}

# XMP properties that matter, and their namespaces; others are passed over.
_XMP_NAMES: Final = {
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": {
        "DigitalSourceType",
        "AISystemUsed",
        "AISystemVersionUsed",
        "AIPromptInformation",
    },
    "http://ns.adobe.com/xap/1.0/": {"CreatorTool"},
    "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#": {"softwareAgent"},
    "http://ns.adobe.com/photoshop/1.0/": {"Credit"},
    "http://ns.adobe.com/tiff/1.0/": {"Make", "Model", "Software", "ImageDescription"},
    "http://ns.adobe.com/exif/1.0/": {"UserComment"},
    "http://purl.org/dc/elements/1.1/": {"description"},
    "http://www.tc260.org.cn/ns/AIGC/1.0/": {"AIGC"},
}
_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


def read(data: bytes) -> tuple[Field, ...]:
    """Every field of interest, in the order of the file; it never raises.

    Parts that are damaged or too large are passed over; at most MAX_FIELDS fields and MAX_TOTAL
    bytes are read.
    """
    found: list[Field] = []
    room = MAX_TOTAL
    with suppress(Exception):  # what was found before the damage stays
        for part in islice(_parts(data), MAX_FIELDS):
            room -= len(part) if isinstance(part, bytes) else len(part.text)
            if room < 0:
                break
            found += _xmp(part) if isinstance(part, bytes) else [part]
    return tuple(found[:MAX_FIELDS])


def _parts(data: bytes) -> Iterator[_Part]:
    for pattern, reader in _READERS:
        if re.match(pattern, data[:64], re.DOTALL):
            return reader(memoryview(data))
    return iter(())


def _png(data: memoryview) -> Iterator[_Part]:
    at, tried = 8, 0
    for _ in range(MAX_CHUNKS):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        at += 12 + length
        if kind == b"IEND" or at > len(data):  # what follows the end is no part of the picture
            return
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"eXIf"):
            continue
        tried += 1
        if tried > MAX_FIELDS:
            return
        (checksum,) = struct.unpack_from(">I", data, at - 4)
        if zlib.crc32(body, zlib.crc32(kind)) != checksum:
            continue
        if kind == b"eXIf":
            yield from _tiff(body)
        else:
            with suppress(ValueError, zlib.error):
                yield _png_text(kind, bytes(body[: MAX_TEXT + 200]))


def _png_text(kind: bytes, body: bytes) -> _Part:
    keyword, rest = body.split(b"\0", 1)
    encoding = "latin-1"
    if kind == b"zTXt":
        rest = _inflate(rest[1:])  # the first byte names the one method there is
    elif kind == b"iTXt":
        encoding = "utf-8"
        packed, rest = rest[0], rest[2:]
        _, _, rest = rest.split(b"\0", 2)  # the language and the translated keyword
        rest = _inflate(rest) if packed else rest
    name = keyword.decode("latin-1")
    if name == "XML:com.adobe.xmp":
        return rest
    return Field("png", name, rest[:MAX_TEXT].decode(encoding, "replace"))


def _inflate(packed: bytes) -> bytes:
    """At most MAX_TEXT bytes, so that a bomb goes off in a small room."""
    return zlib.decompressobj().decompress(packed, MAX_TEXT)


def _jpeg(data: memoryview) -> Iterator[_Part]:
    at = 2
    for _ in range(MAX_CHUNKS):
        marks = re.compile(rb"\xff+([^\xff])", re.DOTALL).match(data, at)
        if marks is None:
            return
        marker, at = marks[1][0], marks.end()
        if marker in (0xD9, 0xDA):  # the end, or the pixels
            return
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:  # without a length
            continue
        (length,) = struct.unpack_from(">H", data, at)
        body = bytes(data[at + 2 : at + length])
        at += max(length, 2)
        if marker == 0xE1 and body.startswith(b"Exif\0"):
            yield from _tiff(memoryview(body)[6:])
        elif marker == 0xE1 and body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            yield body.partition(b"\0")[2]
        elif marker == 0xED and body.startswith(b"Photoshop 3.0\0"):
            yield from _photoshop(body[14:])
        elif marker == 0xFE:
            yield Field("comment", "Comment", body.decode("utf-8", "replace"))


def _photoshop(body: bytes) -> Iterator[Field]:
    """The IIM records among Photoshop's resources."""
    at = 0
    with suppress(struct.error, IndexError):
        while body[at : at + 4] == b"8BIM":
            (kind,) = struct.unpack_from(">H", body, at + 4)
            at += 6 + (body[at + 6] + 2) // 2 * 2  # a name of even length, its length included
            (size,) = struct.unpack_from(">I", body, at)
            if kind == 0x0404:
                yield from _iim(body[at + 4 : at + 4 + size])
            at += 4 + (size + 1) // 2 * 2


def _iim(body: bytes) -> Iterator[Field]:
    at = 0
    while at + 5 <= len(body) and body[at] == 0x1C:
        record, number, size = struct.unpack_from(">BBH", body, at + 1)
        if size & 0x8000:  # longer than any text of interest
            return
        if record == 2 and number in _IIM:
            text = body[at + 5 : at + 5 + size].decode("utf-8", "replace")
            yield Field("iptc", _IIM[number], text)
        at += 5 + size


def _webp(data: memoryview) -> Iterator[_Part]:
    (size,) = struct.unpack_from("<I", data, 4)
    end, at = min(len(data), 8 + size), 12
    for _ in range(MAX_CHUNKS):
        if at + 8 > end:
            return
        kind, length = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : min(at + 8 + length, end)]
        at += 8 + length + length % 2
        if kind == b"EXIF":
            yield from _tiff(body[6:] if bytes(body[:4]) == b"Exif" else body)
        elif kind == b"XMP ":
            yield bytes(body[: MAX_TEXT + 1])


def _tiff(data: memoryview) -> Iterator[_Part]:
    """The tags of interest in the first directory and in the one of EXIF; no loop is possible."""
    order = _ORDERS.get(bytes(data[:2]))
    if order is None or struct.unpack_from(order + "H", data, 2)[0] != 42:
        return
    starts = [struct.unpack_from(order + "I", data, 4)[0]]
    seen: set[int] = set()
    for start in starts:  # at most one more is added
        with suppress(struct.error):  # the entries before the damage stay
            for tag, kind, count, place in islice(_entries(data, order, start), _MAX_TAGS):
                if tag == _EXIF_POINTER and len(starts) == 1:
                    starts.append(struct.unpack_from(order + "I", data, place)[0])
                # Of a tag that comes twice, the first: else one text may be read 65,535 times.
                if (tag not in _TAGS and tag != _XMP_TAG) or kind not in (1, 2, 7) or tag in seen:
                    continue
                seen.add(tag)
                value = bytes(data[place : place + min(count, MAX_TEXT + 1)])
                if tag == _XMP_TAG:
                    yield value
                elif text := _exif_text(tag, value, order).strip("\0 \n"):
                    yield Field("exif", _TAGS[tag], text[:MAX_TEXT])


def _entries(
    data: memoryview, order: str, start: int, *, big: bool = False
) -> Iterator[tuple[int, int, int, int]]:
    """Tag, kind, number of elements and place of the value, of each entry of a directory.

    Raises:
        struct.error: the data end before the directory does.
    """
    number, head, width = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    (entries,) = struct.unpack_from(order + number, data, start)
    at = start + struct.calcsize(number)
    for _ in range(entries):
        tag, kind, count = struct.unpack_from(order + head, data, at)
        place = at + 4 + width
        if count * _SIZES.get(kind, 1) > width:  # it does not fit into the entry
            (place,) = struct.unpack_from(order + "IQ"[big], data, place)
        yield tag, kind, count, place
        at += 4 + 2 * width


def swells(data: bytes) -> bool:
    """Whether reading all tags takes far more memory than the data: more than MAX_SURPLUS beyond.

    Several tags may point to the same bytes, and numbers take more room as objects than in a file,
    so this is what to ask before a reader that copies or converts every tag sees the data. Values
    that end beyond the data cost nothing, for no reader gets them.

    Args:
        data: a whole TIFF or BigTIFF, or EXIF data with or without the prefix "Exif".
    """
    prefixes = 0
    while data.startswith(_EXIF_PREFIX, len(_EXIF_PREFIX) * prefixes):
        prefixes += 1
        if prefixes > _MAX_PREFIXES:  # Pillow copies the data for each
            return True
    block = memoryview(data)[len(_EXIF_PREFIX) * prefixes :]
    order = _ORDERS.get(bytes(block[:2]))
    if order is None:
        return False
    room = len(block) + MAX_SURPLUS
    # Pillow takes the third byte for the version, other readers both: if they disagree, both count.
    for big in {bytes(block[2:3]) == b"+", b"+" in bytes(block[2:4])}:
        for weight in _weights(block, order, big=big):
            room -= weight
            if room < 0:
                return True
    return False


def _weights(data: memoryview, order: str, *, big: bool) -> Iterator[int]:
    """Bytes of memory for each entry of the directories that Pillow reads for a picture."""
    starts: list[int] = []
    with suppress(struct.error):
        starts += struct.unpack_from(order + "IQ"[big], data, 8 if big else 4)
    seen = set(starts)
    for start in starts:  # which grows
        with suppress(struct.error, OverflowError):  # damage
            for tag, kind, count, place in _entries(data, order, start, big=big):
                size = _SIZES.get(kind, 0)
                if not size or place + count * size > len(data):
                    yield _ENTRY_WEIGHT
                    continue
                yield _ENTRY_WEIGHT + count * _WEIGHTS.get(kind, _WEIGHT)
                if tag in _POINTERS:
                    target = data[place : place + size]
                    other = int.from_bytes(target, "little" if order == "<" else "big")
                    if other not in seen:
                        seen.add(other)
                        starts.append(other)


def _exif_text(tag: int, value: bytes, order: str) -> str:
    if _TAGS[tag] == "XPComment":
        return value.decode("utf-16-le", "replace")
    if _TAGS[tag] != "UserComment":
        return value.partition(b"\0")[0].decode("utf-8", "replace")
    if not value.startswith(b"UNICODE\0"):
        return value[8:].decode("utf-8", "replace")
    # The standard leaves the order of the bytes open, and writers differ: mostly Latin letters
    # have their zero byte first in one order and last in the other.
    body = value[8:]
    big = body[0:512:2].count(0) - body[1:512:2].count(0)
    if big == 0:
        big = 1 if order == ">" else -1
    return body.decode("utf-16-be" if big > 0 else "utf-16-le", "replace")


def _xmp(packet: bytes) -> list[Field]:
    """The properties of interest, whether written as elements, attributes or resources."""
    found: list[Field] = []
    if len(packet) > MAX_TEXT:
        return found
    elements = 0
    path: list[str | None] = []  # for each open element, the property that its text belongs to
    texts: list[list[str]] = []

    def start(name: str, attributes: Mapping[str, str]) -> None:
        nonlocal elements
        elements += 1
        if elements > _MAX_ELEMENTS or len(path) >= _MAX_DEPTH:
            raise ValueError("no XMP is so long or so deep")
        space, _, local = name.rpartition(" ")
        inherited = path[-1] if path and space == _RDF else None
        path.append(local if local in _XMP_NAMES.get(space, ()) else inherited)
        texts.append([])
        for key, value in attributes.items():
            space, _, local = key.rpartition(" ")
            if local in _XMP_NAMES.get(space, ()):
                found.append(Field("xmp", local, value))
            elif key == f"{_RDF} resource" and (prop := path[-1]):
                found.append(Field("xmp", prop, value))

    def words(text: str) -> None:
        if texts and path[-1]:
            texts[-1].append(text)

    def end(_: str) -> None:
        prop, text = path.pop(), "".join(texts.pop()).strip()
        if prop and text:
            found.append(Field("xmp", prop, text))

    def doctype(*_: object) -> None:
        raise ValueError("XMP has no document type, and its entities could grow without end")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = words
    parser.StartDoctypeDeclHandler = doctype
    with suppress(expat.ExpatError, ValueError):
        parser.Parse(packet.strip(b"\0 \r\n\t"), True)
    return found


def _bmff(data: memoryview) -> Iterator[_Part]:
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
            yield from _tiff(value[4 + skip :])
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

    for _ in range(number(4 if version == 2 else 2)):
        item = number(4 if version == 2 else 2)
        method = number(2) & 15 if version else 0
        number(2)  # which file: this one
        base = number(sizes[2])
        extents = number(2)
        for _ in range(extents):
            number(sizes[3])
            start, length = base + number(sizes[0]), number(sizes[1])
            if extents == 1 and method == 0:
                yield item, (start, length)


_READERS: Final[tuple[tuple[bytes, Callable[[memoryview], Iterator[_Part]]], ...]] = (
    (rb"\x89PNG\r\n\x1a\n", _png),
    (rb"\xff\xd8\xff", _jpeg),
    (rb"RIFF.{4}WEBP", _webp),
    (rb"II\*\0|MM\0\*", _tiff),
    (rb".{4}ftyp(.{4}){0,12}?(avi[fs]|hei[cxms]|hev[cxms]|mif1|msf1)", _bmff),
)
