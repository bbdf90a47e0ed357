"""From the bytes of a file to the words that its metadata holds, bounded in size and in time."""

from __future__ import annotations

from dataclasses import dataclass

from fakeface.evidence.containers import read_parts
from fakeface.evidence.fields import DAMAGED, MAX_FIELDS, MAX_TOTAL, Field, Trouble
from fakeface.evidence.xmp import read_xmp

TOO_MUCH = Trouble(
    "file", f"there are more than {MAX_FIELDS} fields or {MAX_TOTAL >> 20} MiB of text", limit=True
)


@dataclass(frozen=True, slots=True)
class Metadata:
    """The fields of interest in the order of the file, and what could not be read."""

    fields: tuple[Field, ...] = ()
    troubles: tuple[Trouble, ...] = ()


def read(data: bytes) -> Metadata:
    """Every field of interest; it raises nothing but MemoryError.

    At most MAX_FIELDS fields and MAX_TOTAL characters are read, and what is damaged is left out;
    each is told as a trouble, once.

    Args:
        data: a whole file of any kind.
    """
    fields: list[Field] = []
    troubles: list[Trouble] = []
    room = MAX_TOTAL
    try:
        for part in read_parts(data):
            if isinstance(part, Trouble):
                troubles.append(part)
                continue
            room -= len(part) if isinstance(part, bytes) else len(part.text)
            if room < 0 or len(fields) >= MAX_FIELDS:
                troubles.append(TOO_MUCH)
                break
            for found in read_xmp(part) if isinstance(part, bytes) else [part]:
                (troubles if isinstance(found, Trouble) else fields).append(found)  # type: ignore[arg-type]
    except MemoryError:
        raise
    except Exception:  # what was found before the damage stays
        troubles.append(Trouble("file", DAMAGED))
    return Metadata(tuple(fields[:MAX_FIELDS]), tuple(dict.fromkeys(troubles)))
