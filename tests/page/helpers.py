"""What the tests of the page share."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

import app

EVIL = "<img src=x onerror=alert(1)>${alert(2)}{{x}}.jpg"

Send = Callable[..., dict[str, Any]]
Made = TypeVar("Made")


def files_in(folder: Path) -> list[Path]:
    """Every file below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def in_a_loop(make: Callable[[], Made]) -> Made:
    """What a function returns that is called while an event loop runs.

    Without a running loop, each `gr.Blocks` makes new event loops and never closes them, and
    Python reports their sockets whenever the garbage collector comes by: in whichever test runs
    then. A browser test has a loop in its thread already, so this one gets a thread of its own.
    """

    async def call() -> Made:
        return make()

    with ThreadPoolExecutor(1) as apart:
        return apart.submit(asyncio.run, call()).result()


def open_page(**options: Any) -> gr.Blocks:
    """A page that runs in this process, at a port of its own.

    Gradio would try one port after another, and leave a socket open at each that is taken.

    Args:
        options: of `app.serve`.
    """
    return in_a_loop(
        lambda: app.serve(prevent_thread_lock=True, quiet=True, server_port=free_port(), **options)
    )


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
