"""A few processes that open strangers' files: one made to harm costs one answer, not the program.

Codecs and the library that checks credentials are compiled code, and files come from strangers. So
a few small processes open them, each with bounds on memory and on time that the system enforces
(see `fakeface.workers.process`). One that crashes, or is stopped, is replaced. Where there can be
none (Windows, or by the setting FAKEFACE_DECODE_IN_PROCESS=1), files are opened in this process,
without these bounds.
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
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import fakeface

SETTING: Final = "FAKEFACE_DECODE_IN_PROCESS"
WALL: Final = 30.0  # seconds for one file: long, since others may keep the processors busy
MOST: Final = max(2, min(4, os.cpu_count() or 1))  # processes

_WORDS: Final = 8 * 2**20  # bytes of JSON in an answer; all that evidence may quote is less
# One thread for each file. And glibc keeps some memory from one file to the next: to give it back
# and take it anew would cost 5 ms a megapixel.
_SETTINGS: Final = {
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")},
    "MALLOC_MMAP_THRESHOLD_": str(16 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(32 * 2**20),
}
_START: Final = 60.0  # seconds until a process must be ready
_POSIX: Final = importlib.util.find_spec("resource") is not None

_T = TypeVar("_T")
# Makes something of an answer: its words, the memory from which its pixels are read, and how many
# bytes these are. Any exception means that no intact process gave it.
Read: TypeAlias = Callable[[dict[str, Any], FileIO, int], _T]


class Fault(Exception):
    """A file was not done, and the next one will be."""


class TooSlow(Fault):
    """It took too much time, and its process was stopped."""


class TooMuchMemory(Fault):
    """It took too much memory."""


class Crashed(Fault):
    """Its process ended, or gave an answer that makes no sense."""


class NoRoom(Fault):
    """No process can be started just now."""


class NoProcesses(Exception):
    """There can be none here: the caller opens its files itself."""


class _Lost(Exception):
    """A process is not there any more."""


class _Worker:
    """A process, and the socket to it."""

    def __init__(self, job: str) -> None:
        self._link, theirs = socket.socketpair()
        self._fresh = True
        place = str(Path(fakeface.__file__).parents[1])
        command = (
            f"import sys; sys.path.insert(0, {place!r}); "
            f"from fakeface.workers.process import main; main({theirs.fileno()}, {job!r})"
        )
        try:
            self._process = subprocess.Popen(  # noqa: S603  (no part of it comes from a file)
                [sys.executable, "-P", "-c", command],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**_public(os.environ), **_SETTINGS},
            )
        except BaseException:
            self._link.close()
            raise
        finally:
            theirs.close()

    def call(self, job: str, data: bytes, read: Read[_T], **options: Any) -> _T:
        """See `call` below.

        Raises:
            Fault: the process was stopped or crashed over the file.
            _Lost: it did not even start.
        """
        from fakeface.workers import process  # here, since Windows lacks what it needs

        if self._fresh:
            self._link.settimeout(_START)
            try:
                if self._link.recv(1) != process.READY:
                    raise _Lost
            except OSError as error:
                raise _Lost from error
            self._fresh = False
        self._link.settimeout(WALL)
        try:
            asked = json.dumps({"job": job, **options}).encode()
            process.send(self._link, process.REQUEST.pack(len(asked), len(data)), asked, data)
            head, memory = process.receive(self._link, process.ANSWER.size)
            with memory:
                if not head:
                    raise EOFError
                words, size = process.ANSWER.unpack(head)
                if words > _WORDS:
                    raise ValueError("too many words")
                said = json.loads(memory.read(words))
                if said.get("fault") == process.MEMORY:
                    raise TooMuchMemory
                return read(said, memory, size)
        except Fault:
            raise
        except Exception as error:
            raise self._why(error) from error

    def alive(self) -> bool:
        """Whether the process is still there."""
        return self._process.poll() is None

    def close(self) -> None:
        """Ends the process."""
        self._link.close()
        self._process.kill()
        self._process.wait()

    def _why(self, error: Exception) -> Fault:
        """What happened over the file."""
        code = None
        if isinstance(error, OSError | EOFError) and not isinstance(error, TimeoutError):
            with suppress(subprocess.TimeoutExpired):  # it is ending, or has ended
                code = self._process.wait(2)
        slow = isinstance(error, TimeoutError) or code == -signal.SIGXCPU
        return TooSlow() if slow else Crashed()


def _public(settings: Any) -> dict[str, str]:
    """The environment without what a hijacked process must not learn, such as keys."""
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

    def call(self, job: str, data: bytes, read: Read[_T], **options: Any) -> _T:
        """See `call` below."""
        worker = self._free.get()
        healthy = False
        try:
            if worker and not worker.alive():
                worker.close()
                worker = None
            worker = worker or _Worker(job)
            found = worker.call(job, data, read, **options)
            self.worked = healthy = True
            return found
        except Fault as fault:
            self.worked, healthy = True, isinstance(fault, TooMuchMemory)
            raise
        finally:
            if worker and not healthy:
                worker.close()
            self._free.put(worker if healthy else None)

    def warm(self, job: str) -> None:
        """See `warm` below."""
        place = self._free.get()
        try:
            place = place or _Worker(job)
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


def call(job: str, data: bytes, read: Read[_T], **options: Any) -> _T:
    """Lets another process do something with a file.

    Args:
        job: the name of a module of ours, whose function `answer` is called there: with the file,
            with what sets bounds, and with the options.
        data: the file.
        read: makes the result of the answer.
        options: whatever JSON can hold.

    Raises:
        Fault: it was not done; see the kinds of fault.
        NoProcesses: do it here.
    """
    pool = _current()
    if pool is None:
        raise NoProcesses
    try:
        return pool.call(job, data, read, **options)
    except (_Lost, OSError) as error:
        if pool.worked:  # so it is for want of something, and the bounds stay
            raise NoRoom from error
        _give_up()
        raise NoProcesses from error


def warm(job: str) -> None:
    """Starts a process ahead of the first file, without waiting for it."""
    pool = _current()
    if pool is not None:
        try:
            pool.warm(job)
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
