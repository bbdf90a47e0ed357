"""The pictures that the page offers to try."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Example:
    """A picture that is free to ship.

    Attributes:
        path: of the picture.
        title: a word or two.
        made: what it is and how it was made.
    """

    path: Path
    title: str
    made: str


def read_examples(folder: Path) -> tuple[Example, ...]:
    """The pictures that `examples.json` of a folder lists, in its order; none where it has none."""
    path = folder / "examples.json"
    if not path.is_file():
        return ()
    listed = json.loads(path.read_text("utf-8"))
    return tuple(Example(folder / e["file"], e["title"], e["made"]) for e in listed)
