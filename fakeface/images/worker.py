"""What runs in a process that decodes strangers' files: little memory, little time, no secrets.

It is started by `fakeface.images.workers`, takes one file after the other from a socket, and gives
back pixels or a sentence. Bounds are set anew for each file; the system enforces them, whatever
a codec does.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import socket
import struct
import tempfile
from io import FileIO
from pathlib import Path
from typing import Any, Final

from fakeface import types
from fakeface.images.frames import TOO_MUCH_MEMORY, decode_pixels, read_header

# A message has a few numbers and a handle to memory that both processes may read: so there is one
# change of process each way, however large a picture is, which counts on a busy machine.
HEAD: Final = struct.Struct("<II")  # of a request: bytes of the file, frame; the memory is the file
ANSWER: Final = struct.Struct("<IQ")  # of an answer: bytes of JSON, bytes of pixels; both are there
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
        while True:
            head, memory = receive(link, HEAD.size)
            if not head:
                return
            with memory:
                size, frame = HEAD.unpack(head)
                data = memory.read(size)
            _answer(link, data, frame, own)


def send(link: socket.socket, head: bytes, *parts: Any) -> None:
    """Sends a message: numbers, and memory that holds some buffers."""
    with _memory() as memory:
        for part in parts:
            view = memoryview(part).cast("B")
            while view:
                view = view[memory.write(view) :]
        memory.seek(0)
        socket.send_fds(link, [head], [memory.fileno()])


def receive(link: socket.socket, size: int) -> tuple[bytes, FileIO]:
    """A message; no numbers where the other end is closed."""
    head, handles, _, _ = socket.recv_fds(link, size, 1)
    if not handles:
        return b"", FileIO(os.devnull)
    return head, FileIO(handles[0], "r")


def _memory() -> FileIO:
    if hasattr(os, "memfd_create"):
        return FileIO(os.memfd_create("picture"), "r+")
    with tempfile.TemporaryFile(buffering=0) as file:  # not Linux
        return FileIO(os.dup(file.fileno()), "r+")


def _answer(link: socket.socket, data: bytes, frame: int, own: int) -> None:
    pixels: Any = b""
    try:
        _bound(own, *HEADER)
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
    send(link, ANSWER.pack(len(words), memoryview(pixels).nbytes), words, pixels)


def _bound(own: int, seconds: int, memory: int) -> None:
    """Bounds what the rest of the work may take."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = math.ceil(used.ru_utime + used.ru_stime)  # limits are whole seconds: rather one more
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
