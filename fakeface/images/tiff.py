"""TIFF and BigTIFF of either order of bytes, and the camera raw files that are TIFFs inside.

A TIFF is a list of pictures, each described by a directory of tags. The directories are walked
here, for some describe small previews, masks or a camera's raw data. The picture that is asked
for is written anew as a plain TIFF with the tags of the pixels alone, and Pillow is given that: so
neither the metadata nor the form of the file matters to it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from PIL.TiffImagePlugin import TiffImageFile

from fakeface import types
from fakeface.images import directories
from fakeface.images.directories import Block, Entry
from fakeface.images.encoded import MAX_PROFILE, Encoded, loader, unsupported
from fakeface.images.kinds import raw

_MAX_DIRECTORIES: Final = 1000
_MAX_NUMBERS: Final = 500_000  # such as the places of strips, which Pillow keeps as objects

_KIND, _OLD_KIND, _BITS, _PACKING, _PHOTOMETRIC = 254, 255, 258, 259, 262
_MAKE, _CHILDREN, _FORMAT, _PROFILE = 271, 330, 339, 34675
_OFFSETS: Final = {273: 279, 324: 325}  # of strips and tiles, and how many bytes each has
# What the pixels need: sizes, strips, tiles, packing, colours, channels, old and new JPEG in TIFF.
_PIXELS: Final = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324}
    | {325, 332, 338, 339, 340, 341, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521}
    | {529, 530, 531, 532, 65537}
)

# What only raw files have: tags, colours of pixels (a mosaic; linear raw), ways of packing.
_RAW_TAGS: Final = {
    50706: "DNG",
    34310: "Leaf MOS",
    33421: "",  # the pattern of the mosaic
}
_RAW_COLOURS: Final = (32803, 34892)
_RAW_PACKINGS: Final = {
    32767: "Sony ARW",
    32770: "Samsung SRW",
    34713: "Nikon NEF",
    65000: "Kodak DCR",
    65535: "Pentax PEF",
    262: "Kodak KDC",
}
_MAKERS: Final = (
    ("NIKON", "Nikon NEF"),
    ("SONY", "Sony ARW"),
    ("PENTAX", "Pentax PEF"),
    ("RICOH", "Pentax PEF"),
    ("SAMSUNG", "Samsung SRW"),
    ("EPSON", "Epson ERF"),
    ("SEIKO", "Epson ERF"),
    ("HASSELBLAD", "Hasselblad 3FR"),
    ("MAMIYA", "Mamiya MEF"),
    ("LEAF", "Leaf MOS"),
    ("KODAK", "Kodak DCR"),
    ("EASTMAN", "Kodak DCR"),
    ("PHASE ONE", "Phase One IIQ"),
    ("OLYMPUS", "Olympus ORF"),
    ("PANASONIC", "Panasonic RW2"),
    ("LEICA", "Leica RWL"),
)


@dataclass(frozen=True, slots=True)
class _Page:
    """One directory, and whether another lists it as its child."""

    entries: dict[int, Entry]
    child: bool


def read(data: bytes, frame: int = 0) -> Encoded:
    """Reads the directories of a TIFF."""
    block = Block(data)
    every = list(_pages(block))
    _refuse_raw(block, every)
    pages = [page for page in every if not page.child and _is_picture(block, page)]
    pages = pages or [page for page in every if _is_picture(block, page)][:1]
    if not every or (_PHOTOMETRIC not in every[0].entries and not pages):
        raise ValueError("no picture")
    if not pages:
        raise unsupported(
            "a TIFF that holds only a small preview of a picture", "save the picture itself"
        )
    entries = pages[frame].entries
    try:
        image = TiffImageFile(BytesIO(_alone(block, entries)))
    except SyntaxError as error:
        if str(error).startswith("unknown") or isinstance(error.__cause__, KeyError):
            raise _rare(block, entries) from error  # Pillow knows no such combination
        raise
    profile = None
    if _PROFILE in entries:
        found = entries[_PROFILE]
        profile = block.content(found) if found.size <= MAX_PROFILE else bytes(MAX_PROFILE + 1)
    turned = directories.turn(block, entries)
    return Encoded(image.size, loader(image), len(pages), turned, profile)


def _pages(block: Block) -> Iterator[_Page]:
    """The directories, each once: those of the list, each followed by its children."""
    seen: set[int] = set()
    todo = [(block.first(), False)]
    while todo and len(seen) < _MAX_DIRECTORIES:
        start, child = todo.pop()
        if start in seen or start <= 0:
            continue
        seen.add(start)
        try:
            entries, after = block.directory(start)
        except (struct.error, OverflowError):
            continue
        yield _Page(entries, child)
        if after:
            todo.append((after, child))
        if _CHILDREN in entries:
            places = block.numbers(entries[_CHILDREN], 16).tolist()
            todo += [(place, True) for place in reversed(places)]


def _number(block: Block, page: _Page, tag: int, default: int = 0) -> int:
    entry = page.entries.get(tag)
    found = block.numbers(entry, 1).tolist() if entry else []
    return found[0] if found else default


def _is_picture(block: Block, page: _Page) -> bool:
    """Whether it is neither a smaller copy of another nor a mask."""
    small = _number(block, page, _KIND) & 1 or _number(block, page, _OLD_KIND) == 2
    mask = _number(block, page, _KIND) & 4 or _number(block, page, _PHOTOMETRIC) == 4
    return not small and not mask and any(tag in page.entries for tag in _OFFSETS)


def _refuse_raw(block: Block, pages: list[_Page]) -> None:
    """Refuses a camera's raw data by the marks of their kind, before a preview is taken for it.

    Raises:
        UnsupportedFormat: it is one.
    """
    named = next((n for page in pages for tag, n in _RAW_TAGS.items() if tag in page.entries), None)
    packed = [_RAW_PACKINGS.get(_number(block, page, _PACKING)) for page in pages]
    colours = [_number(block, page, _PHOTOMETRIC) in _RAW_COLOURS for page in pages]
    if named is None and not any(packed) and not any(colours):
        return
    make = next((block.content(p.entries[_MAKE]) for p in pages if _MAKE in p.entries), b"")
    maker = make[:40].decode("ascii", "replace").upper()
    family = named or next((name for start, name in _MAKERS if maker.startswith(start)), None)
    raise raw(family or next((name for name in packed if name), "of a TIFF kind"))


def _rare(block: Block, entries: dict[int, Entry]) -> Exception:
    """The refusal of a combination of bits, numbers and packing that Pillow does not know."""
    page = _Page(entries, False)
    form = _number(block, page, _FORMAT, 1)
    bits = _number(block, page, _BITS, 1)
    what = {2: "signed", 3: "floating point", 5: "complex", 6: "complex"}.get(form, "whole")
    packing = _number(block, page, _PACKING, 1)
    return unsupported(f"a TIFF of a rare kind ({bits}-bit {what} numbers, packing {packing})")


def _alone(block: Block, entries: dict[int, Entry]) -> bytes:
    """A classic TIFF whose one directory has only the tags of the pixels.

    It is put behind the data, which stay where they are, and so do the values that it points to.
    """
    for places, lengths in _OFFSETS.items():
        if places in entries and lengths in entries:
            starts, sizes = (block.numbers(entries[t], _MAX_NUMBERS) for t in (places, lengths))
            if len(starts) == len(sizes) and (starts + sizes > len(block.data)).any():
                raise ValueError("cut short")
    base = len(block.data) + len(block.data) % 2
    blobs, fields, left = bytearray(), [], _MAX_NUMBERS
    for tag in sorted(_PIXELS & set(entries)):
        entry = entries[tag]
        if not entry.count:
            continue
        if not block.content(entry):
            raise ValueError("cut short")
        kind, value = entry.kind, block.content(entry)
        left -= entry.count if kind not in (2, 7) else 0
        if left < 0:
            raise types.ImageTooLarge(
                "This TIFF file is cut into far too many strips; save the picture again."
            )
        if kind in (16, 17, 18):  # numbers of BigTIFF
            numbers = block.numbers(entry, entry.count)
            kind, value = 4, numbers.astype(block.order + "u4").tobytes()
        if len(value) > 4:
            place = struct.pack(block.order + "I", base + len(blobs))
            blobs += value + bytes(len(value) % 2)
            value = place
        fields.append(
            struct.pack(block.order + "HHI", tag, kind, entry.count) + value.ljust(4, b"\0")
        )
    order = b"II" if block.order == "<" else b"MM"
    head = order + struct.pack(block.order + "HI", 42, base + len(blobs))
    listed = struct.pack(block.order + "H", len(fields)) + b"".join(fields) + bytes(4)
    return b"".join([head, block.data[8:], bytes(len(block.data) % 2), blobs, listed])
