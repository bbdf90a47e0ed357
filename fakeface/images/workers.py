"""Decoding in processes of its own: a file made to harm costs one answer, and not the program.

Codecs are written in C, and pictures come from strangers. So a few small processes decode, each
with bounds on memory and on time that the system enforces (see `fakeface.images.worker`). One that
crashes, or is stopped, is replaced. Where there can be none (Windows, or by the setting
FAKEFACE_DECODE_IN_PROCESS=1), decoding happens in this process, without these bounds.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, Final

import numpy as np

import fakeface
from fakeface import types
from fakeface.images import frames
from fakeface.images.encoded import MAX_PIXELS
from fakeface.images.frames import Decoded

SETTING: Final = "FAKEFACE_DECODE_IN_PROCESS"
WALL: Final = 30.0  # seconds for one file: long, since others may keep the processors busy
MOST: Final = max(2, min(4, os.cpu_count() or 1))  # processes

TOO_SLOW: Final = "This file takes too long to decode; save the picture again, or a smaller copy."
CRASHED: Final = "This file makes its decoder fail; save the picture again in another format."

SHORT: Final = "This computer has no room to decode a file just now; try again in a while."

_ERRORS: Final = {kind.__name__: kind for kind in types.ImageError.__subclasses__()}
_START: Final = 60.0  # seconds until a process must be ready
_POSIX: Final = importlib.util.find_spec("resource") is not None


class _Lost(Exception):
    """A process is not there any more."""


class _Worker:
    """A process that decodes, and the socket to it."""

    def __init__(self) -> None:
        self._link, theirs = socket.socketpair()
        self._fresh = True
        place = str(Path(fakeface.__file__).parents[1])
        command = (
            f"import sys; sys.path.insert(0, {place!r}); "
            f"from fakeface.images.worker import main; main({theirs.fileno()})"
        )
        single = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
        try:
            self._process = subprocess.Popen(  # noqa: S603  (no part of it comes from a file)
                [sys.executable, "-P", "-c", command],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**_public(os.environ), **single},
            )
        except BaseException:
            self._link.close()
            raise
        finally:
            theirs.close()

    def decode_frame(self, data: bytes, frame: int) -> Decoded:
        """See `frames.decode_frame`.

        Raises:
            ImageError: from there, or since the process was stopped or crashed over the file.
            _Lost: it did not even start.
        """
        from fakeface.images import worker  # here, since Windows lacks what it needs

        if self._fresh:
            self._link.settimeout(_START)
            try:
                if self._link.recv(1) != worker.READY:
                    raise _Lost
            except OSError as error:
                raise _Lost from error
            self._fresh = False
        self._link.settimeout(WALL)
        try:
            worker.send(self._link, worker.HEAD.pack(len(data), frame), data)
            head, memory = worker.receive(self._link, worker.ANSWER.size)
            with memory:
                if not head:
                    raise EOFError
                words, size = worker.ANSWER.unpack(head)
                said = json.loads(memory.read(words))
                return _read_answer(said, memory, size)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise self._why(error) from error

    def alive(self) -> bool:
        """Whether the process is still there."""
        return self._process.poll() is None

    def close(self) -> None:
        """Ends the process."""
        self._link.close()
        self._process.kill()
        self._process.wait()

    def _why(self, error: Exception) -> types.ImageError:
        """What to say of the file over which the process was lost."""
        code = None
        if isinstance(error, OSError | EOFError) and not isinstance(error, TimeoutError):
            with suppress(subprocess.TimeoutExpired):  # it is ending, or has ended
                code = self._process.wait(2)
        if isinstance(error, TimeoutError) or code == -signal.SIGXCPU:
            return types.ImageTooLarge(TOO_SLOW)
        return types.DamagedImage(CRASHED)


def _read_answer(said: dict[str, Any], memory: FileIO, size: int) -> Decoded:
    """What an answer means, the pixels of which come next in the memory.

    Raises:
        ValueError, KeyError, TypeError: it is none that an intact process gives.
    """
    if "error" in said:
        raise _ERRORS[said["error"]](said["sentence"])
    if size > 3 * MAX_PIXELS:
        raise ValueError("too many pixels")
    pixels = np.empty(size, np.uint8)
    at = 0
    while at < size:
        count = memory.readinto(pixels.data[at:])
        if not count:
            raise ValueError("too few pixels")
        at += count
    return Decoded(pixels.reshape(said["shape"]), said["frames"], tuple(said["notes"]))


def _public(settings: Any) -> dict[str, str]:
    """The environment without what a hijacked decoder must not learn, such as keys."""
    names = {
        "PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "HOME", "TMPDIR",
        "PYTHONPATH",
    }  # fmt: skip
    return {name: settings[name] for name in names if name in settings}


class _Pool:
    """A few processes; those that are free wait here, the last used on top.

    Attributes:
        worked: whether one could ever be started.
    """

    def __init__(self) -> None:
        self.worked = False
        self._free: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(MOST):
            self._free.put(None)  # a place for one that is not started yet

    def decode_frame(self, data: bytes, frame: int) -> Decoded:
        worker = self._free.get()
        healthy = False
        try:
            if worker and not worker.alive():
                worker.close()
                worker = None
            worker = worker or _Worker()
            found = worker.decode_frame(data, frame)
            self.worked = healthy = True
            return found
        except types.ImageError as error:
            self.worked, healthy = True, str(error) not in (TOO_SLOW, CRASHED)
            raise
        finally:
            if worker and not healthy:
                worker.close()
            self._free.put(worker if healthy else None)

    def warm(self) -> None:
        """Starts one process, without waiting for it."""
        place = self._free.get()
        try:
            place = place or _Worker()
        finally:
            self._free.put(place)

    def close(self) -> None:
        """Ends the processes that are free."""
        while True:
            try:
                worker = self._free.get_nowait()
            except queue.Empty:
                return
            if worker:
                worker.close()


_lock = threading.Lock()
_pool: _Pool | None = None
_able = _POSIX and bool(sys.executable)


def decode_frame(data: bytes, frame: int = 0) -> Decoded:
    """`frames.decode_frame` in another process, where there can be one."""
    pool = _current()
    if pool is None:
        return frames.decode_frame(data, frame)
    try:
        return pool.decode_frame(data, frame)
    except (_Lost, OSError) as error:
        if pool.worked:  # so it is for want of something, and the bounds stay
            raise types.ImageError(SHORT) from error
        _give_up()
        return frames.decode_frame(data, frame)


def warm() -> None:
    """Starts a process ahead of the first file, without waiting for it."""
    pool = _current()
    if pool is not None:
        try:
            pool.warm()
        except OSError:
            _give_up()


def _current() -> _Pool | None:
    """The processes of this one; none where there can be none."""
    global _pool
    if not _able or os.environ.get(SETTING, "") not in ("", "0"):
        return None
    with _lock:
        if _pool is None:
            _pool = _Pool()
            atexit.register(_pool.close)
        return _pool


def _give_up() -> None:
    global _able
    _able = False


def _forget() -> None:
    """After a fork: the processes are the parent's, and so are the locks."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
