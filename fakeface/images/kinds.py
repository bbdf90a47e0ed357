"""Which kind of file it is, by its first bytes and never by its name."""

from __future__ import annotations

import re
from typing import Final

from fakeface import types
from fakeface.images.encoded import unsupported

# Camera raw files that their first bytes give away. Those that are TIFF files inside, as DNG, NEF
# and ARW, are told by their tags: see `fakeface.images.tiff`.
_RAWS: Final = (
    (rb"(II\*\0|MM\0\*).{4}CR", "Canon CR2"),
    (rb".{4}ftypcrx ", "Canon CR3"),
    (rb"II.{4}HEAPCCDR|II.{4}HEAPJPGM", "Canon CRW"),
    (rb"FUJIFILM", "Fujifilm RAF"),
    (rb"\0MR[MI]", "Minolta MRW"),
    (rb"II(RO|RS)|MMOR", "Olympus ORF"),
    (rb"IIU\0|MM\0U", "Panasonic RW2"),
    (rb"(II\*\0|MM\0\*).{4}(IIII|MMMM)|IIII|MMMMRaw", "Phase One IIQ"),
    (rb"FOVb", "Sigma X3F"),
)

# The first pattern that the beginning of a file matches decides.
_READ: Final = (
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"RIFF.{4}WEBP", "WebP"),
    (rb".{4}ftyp(.{4}){0,15}?avi[fs]", "AVIF"),
    (rb".{4}ftyp(.{4}){0,15}?(hei[cxms]|hev[cxms]|mif1|msf1)", "HEIC"),
    (rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", "BMP"),
    (rb"GIF8[79]a", "GIF"),
    (rb"II[*+]\0|MM\0[*+]", "TIFF"),
)
_OTHERS: Final = (
    (rb"%PDF-", "a PDF document"),
    (rb"PK(\x03\x04|\x05\x06|\x07\x08)", "a ZIP archive or an Office document"),
    (rb"Rar!\x1a\x07|7z\xbc\xaf\x27\x1c|\x1f\x8b|BZh[1-9]|\xfd7zXZ", "an archive"),
    (rb"(?i)[\xef\xbb\xbf\s]*<(?=\?xml|!--|!doctype svg|svg).*?svg[\s>]", "an SVG drawing"),
    (rb".{4}(ftyp|moov|mdat)|\x1aE\xdf\xa3|RIFF.{4}AVI |FLV\x01|\0\0\x01\xba", "a video"),
    (rb"ID3[\x02-\x04]|RIFF.{4}WAVE|fLaC|OggS", "a sound file"),
    (rb"8BP[SB]", "a Photoshop file"),
    (rb"\xff\x0a|\0{3}\x0cJXL ", "a JPEG XL picture"),
    (rb"\0{3}\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (rb"\0\0[\x01\x02]\0", "an icon"),
    (rb"%!PS", "a PostScript document"),
)


def recognise(head: bytes) -> str:
    """The format that begins with `head`, one of those that are read.

    Args:
        head: the first 4096 bytes of a file, or all of it.

    Raises:
        UnsupportedFormat: a kind of file that is known, and not read.
        NotAnImage: anything else.
    """
    for pattern, kind in _RAWS:
        if re.match(pattern, head, re.DOTALL):
            raise raw(kind)
    for pattern, kind in _READ:
        if re.match(pattern, head, re.DOTALL):
            return kind
    for pattern, kind in _OTHERS:
        if re.match(pattern, head, re.DOTALL):
            raise unsupported(kind, "choose a JPEG or PNG picture")
    if re.match(rb"(?i)[\xef\xbb\xbf\s]*<(!doctype )?html", head):
        raise types.NotAnImage("This is a web page; open it and save the picture itself.")
    raise types.NotAnImage("This is no picture, whatever its name says; choose a JPEG or PNG.")


def refusal(head: bytes) -> types.ImageError | None:
    """Why a file that begins with `head` is not read; None where `recognise` knows it."""
    try:
        recognise(head)
    except types.ImageError as error:
        return error
    return None


def raw(family: str) -> Exception:
    """The refusal of a camera's raw data, of which a small preview must not be judged."""
    return unsupported(f"a camera raw file ({family})", "develop it and save it as JPEG or PNG")
