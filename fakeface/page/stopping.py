"""How the server stops: what runs is finished, and everything else is told to come again."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import gradio as gr

from fakeface.types import FakefaceError

PATIENCE: Final = 60.0  # seconds that running requests get
_DELIVERY: Final = 2.0  # seconds for the last answers to reach their browsers

_changed = threading.Condition()
_running = 0
_stopping = False


class ServerStops(FakefaceError):
    """A request came when the server had been told to stop."""


@contextmanager
def admit() -> Iterator[None]:
    """Count a request as running while the block runs.

    Raises:
        ServerStops: the server takes no more.
    """
    global _running
    with _changed:
        if _stopping:
            raise ServerStops("The server is stopping; try again in a minute.")
        _running += 1
    try:
        yield
    finally:
        with _changed:
            _running -= 1
            _changed.notify_all()


def stop(page: gr.Blocks, patience: float = PATIENCE) -> None:
    """Refuse new requests, wait for those that run, and close the page.

    Args:
        page: that was launched.
        patience: seconds after which it is closed whatever still runs.
    """
    global _stopping
    with _changed:
        _stopping = True
        _changed.wait_for(lambda: not _running, patience)
    time.sleep(_DELIVERY)
    page.close(verbose=False)


def stop_on_sigterm(page: gr.Blocks) -> None:
    """Let SIGTERM, by which service managers stop a program, call `stop`; for the main thread."""

    def begin(*_: object) -> None:
        threading.Thread(target=stop, args=(page,), name="stop the page").start()

    signal.signal(signal.SIGTERM, begin)
