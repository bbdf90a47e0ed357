"""What runs in a process that decodes strangers' files: little memory, little time, no secrets.

It is started by `fakeface.images.workers`, takes one file after the other from a socket, and gives
back pixels or a sentence. Bounds are set anew for each file; the system enforces them, whatever
a codec does.
"""

from __future__ import annotations

import json
import resource
import signal
import socket
import struct
from pathlib import Path
from typing import Any, Final

from fakeface import types
from fakeface.images.frames import TOO_MUCH_MEMORY, decode_pixels, read_header

HEAD: Final = struct.Struct("<II")  # of a request: bytes of the file, frame
ANSWER: Final = struct.Struct("<IQ")  # of an answer: bytes of JSON, bytes of pixels
READY: Final = b"+"

# Seconds of processor time, and bytes beyond what the process takes by itself.
HEADER: Final = (2, 512 * 2**20)
PIXELS: Final = (5, 2**30)


def main(handle: int) -> None:
    """Serves requests until the other end of the socket is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    own = _address_space()
    with socket.socket(fileno=handle) as link:
        link.sendall(READY)
        while head := receive(link, HEAD.size):
            size, frame = HEAD.unpack(head)
            _answer(link, receive(link, size), frame, own)


def receive(link: socket.socket, size: int) -> bytearray:
    """So many bytes; none where the other end is closed."""
    data = bytearray(size)
    view, at = memoryview(data), 0
    while at < size:
        count = link.recv_into(view[at:])
        if not count:
            return bytearray()
        at += count
    return data


def _answer(link: socket.socket, data: bytes | bytearray, frame: int, own: int) -> None:
    pixels: Any = b""
    try:
        _bound(own, *HEADER)
        data = bytes(data)
        header = read_header(data, frame)
        _bound(own, *PIXELS)
        found = decode_pixels(data, header)
        pixels = found.rgb
        said = {"shape": pixels.shape, "frames": found.frames, "notes": found.notes}
    except types.ImageError as error:
        said = {"error": type(error).__name__, "sentence": str(error)}
    except MemoryError:
        said = {"error": "ImageTooLarge", "sentence": TOO_MUCH_MEMORY}
    words = json.dumps(said).encode()
    view = memoryview(pixels).cast("B")
    link.sendall(ANSWER.pack(len(words), len(view)) + words)
    link.sendall(view)


def _bound(own: int, seconds: int, memory: int) -> None:
    """Bounds what the rest of the work may take."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(used.ru_utime + used.ru_stime)
    for kind, limit in (
        (resource.RLIMIT_CPU, spent + seconds),
        (resource.RLIMIT_AS, own + memory),
    ):
        hard = resource.getrlimit(kind)[1]
        if hard == resource.RLIM_INFINITY or limit <= hard:
            resource.setrlimit(kind, (limit, hard))


def _address_space() -> int:
    """Bytes of memory that are mapped now, which are far more than those in use."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):  # not Linux
        return 2 * 2**30
    return pages * resource.getpagesize()
