r"""Names of files: one spelling for tables, JSON, reports and terminals, and names in ZIP archives.

On Linux a name may hold any bytes, while tables and JSON are UTF-8. So a byte that
is not part of UTF-8 is written as `\xE9`: a backslash, an x and its two hex digits. Where a name
itself holds such four characters, its backslash is written as `\x5C`. All other names are written
as they are, without normalisation: two files may differ in just that, and the spelling must still
open the file. `to_path` takes spellings back.
"""

from __future__ import annotations

import os
import re
import struct
import unicodedata
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from zipfile import ZipInfo

_ESCAPE: Final = re.compile(r"\\x([0-9A-Fa-f]{2})")
_UTF8_FLAG: Final = 0x800  # of a ZIP entry: its name is UTF-8
_UNICODE_PATH: Final = 0x7075  # Info-ZIP's extra field for a name in UTF-8


def spell(name: str) -> str:
    """A name as valid Unicode, which `to_path` takes back; nearly all names stay as they are.

    Args:
        name: as Python has it, with bytes that are not UTF-8 as surrogates (PEP 383).
    """
    name = _ESCAPE.sub(lambda found: "\\x5C" + found[0][1:], name)
    # A surrogate that stands for no byte, as Windows allows in names, keeps its own escape.
    return (
        re.sub("[\udc80-\udcff]", lambda found: f"\\x{ord(found[0]) - 0xDC00:02X}", name)
        .encode(errors="backslashreplace")
        .decode()
    )


def to_path(name: str) -> Path:
    """The file that a name stands for: the one called just that, else the one `spell` means."""
    if os.path.lexists(name):
        return Path(name)
    raw = re.sub(
        rb"\\x([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode()), os.fsencode(name)
    )
    return Path(os.fsdecode(raw)) if b"\0" not in raw else Path(name)


def zip_names(entries: Sequence[ZipInfo]) -> list[str]:
    """The names in a ZIP archive, in Unicode's composed form (NFC), as most keyboards type them.

    An entry says that its name is UTF-8, by a flag or by an extra field. Where it does not, all
    such names together are taken for UTF-8 (macOS), else Shift-JIS (Japanese Windows) if that
    gives words, else CP437, which is what the format asks for.
    """
    silent = b"\n".join(_raw(e) for e in entries if _declared_name(e) is None)
    encoding = _guess(silent)
    return [
        unicodedata.normalize("NFC", _declared_name(e) or _raw(e).decode(encoding, "replace"))
        for e in entries
    ]


def _raw(entry: ZipInfo) -> bytes:
    """The bytes of the name, up to a null, as zipfile reads names."""
    flagged = entry.flag_bits & _UTF8_FLAG
    return entry.orig_filename.partition("\0")[0].encode("utf-8" if flagged else "cp437")


def _declared_name(entry: ZipInfo) -> str | None:
    """The name where the entry says that it is UTF-8."""
    if entry.flag_bits & _UTF8_FLAG:
        return entry.orig_filename.partition("\0")[0]
    extra = entry.extra
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        # A version, the checksum of the plain name (it may have been changed alone), the name.
        if kind == _UNICODE_PATH and size > 5 and field[0] == 1:
            if int.from_bytes(field[1:5], "little") != zlib.crc32(_raw(entry)):
                continue
            try:
                return field[5:].decode().partition("\0")[0]
            except UnicodeDecodeError:
                continue
    return None


def _guess(names: bytes) -> str:
    """The encoding of names that do not tell: "utf-8", "cp932" (Shift-JIS) or "cp437"."""
    for encoding in ("utf-8", "cp932"):
        try:
            text = names.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8" or _japanese(text):
            return encoding
    return "cp437"


def _japanese(text: str) -> bool:
    """Whether names that were read as Shift-JIS are words, and not accents read wrongly.

    An accented letter of CP437 swallows the plain letter after it and becomes one kanji among
    Latin letters; Japanese letters come in runs.
    """
    # Kana, kanji, and half-width kana.
    own = "[\u3041-\u309f\u30a1-\u30ff\u4e00-\u9fff\uff66-\uff9f]"
    touching = len(re.findall(f"(?=[A-Za-z]{own}|{own}[A-Za-z])", text))
    alone = re.findall(f"(?<!{own}){own}(?!{own})", text)
    swallowed: int = sum(letter.encode("cp932")[1:].isalpha() for letter in alone)
    letters = len(re.findall(own, text))
    return letters > touching + swallowed
