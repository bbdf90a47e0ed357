"""A progress bar in a terminal; in a log, one line a minute."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TextIO, TypeVar

from tqdm import tqdm

T = TypeVar("T")

_LOG_SECONDS = 60.0


class _Lines:
    """A stream that gets whole lines: each state of a bar is a line of its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding

    def write(self, text: str) -> None:
        line = text.strip("\r\n ")
        if line:
            self._stream.write(f"{line}\n")

    def flush(self) -> None:
        self._stream.flush()


def progress(items: Iterable[T] = (), **options: Any) -> tqdm[T]:
    """What `tqdm.tqdm` gives, for the place where it is shown.

    Where standard error is no terminal, a line is written at the start, once a minute, and at the
    end, and none of them holds a carriage return.

    Args:
        items: to go through; without them the bar is moved by its `update`.
        options: of `tqdm.tqdm`: total, desc, unit, initial, disable.
    """
    if sys.stderr.isatty():
        return tqdm(items, mininterval=0.5, **options)
    return tqdm(
        items,
        file=_Lines(sys.stderr),
        mininterval=_LOG_SECONDS,
        miniters=1,  # else a thread of tqdm's writes lines of its own
        **options,
    )
