"""Errors as one sentence for visitors and programs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from fakeface.models import checkpoints
from fakeface.page.stopping import admit
from fakeface.secrets import redact
from fakeface.types import FakefaceError

log = logging.getLogger(__name__)

BUSY = "The server is busy, and its queue is full; try again in a minute."


def describe_error(error: Exception, what: str = "picture") -> str:
    """One sentence, without the folders of this machine and without a traceback.

    Args:
        error: any; what is not a FakefaceError is a fault of ours and is logged.
        what: to try instead of it.
    """
    if isinstance(error, FakefaceError):
        return redact(str(error).replace(f"{checkpoints.checkpoints_root()}{os.sep}", ""))
    log.error("A request could not be answered", exc_info=error)
    return f"Something went wrong in fakeface itself; try another {what}."


@contextmanager
def errors_in_a_sentence() -> Iterator[None]:
    """Run a request of a program, and turn every error into a `gr.Error`, as one sentence."""
    try:
        with admit():
            yield
    except Exception as error:
        raise gr.Error(describe_error(error), print_exception=False) from error
