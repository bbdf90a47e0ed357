"""One writer for a table: the second is told who the first is."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from fakeface.types import FakefaceError


class TableError(FakefaceError):
    """The table cannot be continued or written."""


def lock_path(table: Path) -> Path:
    """The hidden file that is locked: two links to one table are one table."""
    table = table.resolve()
    return table.with_name(f".{table.name}.lock")


@contextmanager
def lock(table: Path) -> Iterator[None]:
    """Hold a table until the block ends; the system lets go of it when the process dies.

    A hidden file beside the table is what is locked, since the table itself may be replaced.

    Raises:
        TableError: another process holds it, or the folder takes no files.
    """
    path = lock_path(table)
    file_lock = FileLock(path, blocking=False)
    try:
        file_lock.acquire()
    except Timeout as error:
        raise TableError(
            f"{table} is being written by another scan{_holder(path)}; wait for its end, or name "
            "another table."
        ) from error
    except OSError as error:
        raise TableError(f"{table} cannot be written ({error.strerror}).") from error
    try:
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        who = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
        with suppress(OSError):  # a full disk; the lock holds all the same
            path.write_text(json.dumps(who))
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # while it is held, so that nobody else's is removed
        file_lock.release()


def _holder(path: Path) -> str:
    """Who holds the lock, in words; empty where it does not say."""
    try:
        who = json.loads(path.read_text())
        return f" (process {who['pid']} on {who['host']}, since {who['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
