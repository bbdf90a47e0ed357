"""What the readers of metadata return, and the limits that all of them keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

MAX_TEXT: Final = 2**20  # bytes of one field, unpacked, and of one XMP packet
MAX_TOTAL: Final = 4 * MAX_TEXT
MAX_FIELDS: Final = 256
MAX_CHUNKS: Final = 100_000  # or segments, or boxes, of one file that are looked at
MAX_PARTS: Final = 20_000  # of a file that is given to the library that checks credentials

DAMAGED: Final = "they are damaged"


@dataclass(frozen=True, slots=True)
class Field:
    """One named text.

    Attributes:
        place: "png" (text chunks), "exif", "xmp", "iptc" (the older IIM records), "comment", or
            "pixels" (text in the lowest bits of the pixels).
        name: the keyword, the tag's name, or the XMP property without its namespace.
        text: what it says, at most MAX_TEXT characters, as it stands in the file.
    """

    place: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """A part of the file that could not be read, in full or at all.

    Attributes:
        place: as of a `Field`, or "file" for the order of the parts itself.
        reason: the end of a sentence that begins with "They could not be read, because".
        limit: True where a limit of fakeface was reached, and nothing need be damaged.
    """

    place: str
    reason: str
    limit: bool = False


Part: TypeAlias = Field | Trouble | bytes  # bytes are a packet of XMP
