"""What runs in a process that opens strangers' files: little memory, little time, no secrets.

It is started by `fakeface.workers.pool`, takes one file after the other from a socket, and gives
back what a job made of it. A job is a module with a function `answer`; it sets its own bounds, anew
for each file, and the system enforces them, whatever a codec or a library does.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import resource
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any, Final, TypeAlias

# A message has a few numbers and a handle to memory that both processes may read: so there is one
# change of process each way, however large a picture is, which counts on a busy machine.
REQUEST: Final = struct.Struct("<II")  # bytes of JSON, bytes of the file; both are in the memory
ANSWER: Final = struct.Struct("<IQ")  # bytes of JSON, bytes of pixels; likewise
READY: Final = b"+"
MEMORY: Final = "memory"  # the fault that an answer names where there was too little of it

Bounds: TypeAlias = tuple[int, int]  # seconds of processor time, bytes beyond the process's own
Bound: TypeAlias = Callable[[Bounds], None]  # bounds what the rest of the work may take

# Of everything that stands around the pixels, and of the pixels themselves.
HEADER: Final[Bounds] = (2, 512 * 2**20)
PIXELS: Final[Bounds] = (5, 2**30)


def main(handle: int, first: str) -> None:
    """Serves requests until the other end of the socket is closed.

    Args:
        handle: of the socket.
        first: the job that will be asked for first; it is made ready before anything comes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    importlib.import_module(first)
    own = _address_space()
    with socket.socket(fileno=handle) as link:
        link.sendall(READY)
        while True:
            head, memory = receive(link, REQUEST.size)
            if not head:
                return
            with memory:
                words, size = REQUEST.unpack(head)
                said, data = json.loads(memory.read(words)), memory.read(size)
            job = said.pop("job")
            if job not in sys.modules:
                importlib.import_module(job)
                own = _address_space()
            _answer(link, job, said, data, own)


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


def _answer(link: socket.socket, job: str, options: dict[str, Any], data: bytes, own: int) -> None:
    pixels: Any = b""
    try:
        said, pixels = sys.modules[job].answer(data, lambda most: _bound(own, *most), **options)
    except MemoryError:
        said = {"fault": MEMORY}
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
