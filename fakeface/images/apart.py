"""Decoding in a process of its own, where there can be one: see `fakeface.workers`."""

from __future__ import annotations

from io import FileIO
from typing import Any, Final

import numpy as np

from fakeface import types
from fakeface.images import frames
from fakeface.images.encoded import MAX_PIXELS
from fakeface.images.frames import TOO_MUCH_MEMORY, Decoded
from fakeface.workers import pool
from fakeface.workers.process import HEADER, PIXELS, Bound

TOO_SLOW: Final = "This file takes too long to decode; save the picture again, or a smaller copy."
CRASHED: Final = "This file makes its decoder fail; save the picture again in another format."
NO_ROOM: Final = "This computer has no room to decode a file just now; try again in a while."

_ERRORS: Final = {kind.__name__: kind for kind in types.ImageError.__subclasses__()}


def decode_frame(data: bytes, frame: int = 0) -> Decoded:
    """`frames.decode_frame` in another process, where there can be one."""
    try:
        found = pool.call(__name__, data, _read, frame=frame)
    except pool.NoProcesses:
        return frames.decode_frame(data, frame)
    except pool.TooSlow as fault:
        raise types.ImageTooLarge(TOO_SLOW) from fault
    except pool.TooMuchMemory as fault:
        raise types.ImageTooLarge(TOO_MUCH_MEMORY) from fault
    except pool.Crashed as fault:
        raise types.DamagedImage(CRASHED) from fault
    except pool.Fault as fault:
        raise types.ImageError(NO_ROOM) from fault
    if isinstance(found, types.ImageError):
        raise found
    return found


def warm() -> None:
    """Starts a process that decodes ahead of the first file, without waiting for it."""
    pool.warm(__name__)


def answer(data: bytes, bound: Bound, *, frame: int) -> tuple[dict[str, Any], Any]:
    """The other process's part: the words of an answer, and the pixels."""
    try:
        bound(HEADER)
        header = frames.read_header(data, frame)
        bound(PIXELS)
        found = frames.decode_pixels(data, header)
    except types.ImageError as error:
        return {"error": type(error).__name__, "sentence": str(error)}, b""
    said = {
        "shape": found.rgb.shape,
        "frames": found.frames,
        "notes": found.notes,
        "quantisation": found.quantisation,
    }
    return said, found.rgb


def _read(said: dict[str, Any], memory: FileIO, size: int) -> Decoded | types.ImageError:
    """What an answer means.

    Raises:
        ValueError, KeyError, TypeError: it is none that an intact process gives.
    """
    if "error" in said:
        return _ERRORS[said["error"]](said["sentence"])
    if size > 3 * MAX_PIXELS:
        raise ValueError("too many pixels")
    pixels = np.empty(size, np.uint8)
    at = 0
    while at < size:
        count = memory.readinto(pixels.data[at:])
        if not count:
            raise ValueError("too few pixels")
        at += count
    return Decoded(
        pixels.reshape(said["shape"]),
        int(said["frames"]),
        tuple(map(str, said["notes"])),
        tuple(map(int, said["quantisation"])),
    )
