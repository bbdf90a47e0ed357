"""Tokens and keys are never shown in an error or a log.

Servers and libraries quote what they were sent, in messages that we pass on. So every line that a
program of fakeface writes to standard error goes through `redact`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Final

_HIDDEN: Final = "[hidden]"
_NAMES: Final = (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "KAGGLE_KEY",
    "KAGGLE_API_TOKEN",
)
# What tokens look like, wherever they come from: of the hub, of Kaggle, of an address, of a header.
_SHAPES: Final = re.compile(
    r"\bhf_[A-Za-z0-9]{8,}"
    r"|\bKGAT_[A-Za-z0-9]{8,}"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
    r"|(?<=[?&]token=)[^&\s\"']+"
    r"|(?i:(?<=bearer )|(?<=basic ))[\w.~+/=-]{8,}"
)
_SHORTEST: Final = 6  # characters; a shorter value would hide ordinary words


def redact(text: str) -> str:
    """The text with every known secret, and whatever looks like one, hidden."""
    for secret in _find_secrets():
        text = text.replace(secret, _HIDDEN)
    return _SHAPES.sub(_HIDDEN, text)


def redact_errors() -> None:
    """Let this process write no secret to its logs or in a traceback; for a program's start."""
    make = logging.getLogRecordFactory()

    def make_redacted(*args: Any, **options: Any) -> logging.LogRecord:
        record = make(*args, **options)
        record.msg, record.args = redact(_message(record)), ()
        if record.exc_info and record.exc_info[0]:
            # A formatter takes this text in place of making its own.
            record.exc_text = redact("".join(traceback.format_exception(*record.exc_info)).rstrip())
        return record

    def print_redacted(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))

    logging.setLogRecordFactory(make_redacted)
    sys.excepthook = print_redacted


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # of a library; logging itself would print it to the terminal
        return str(record.msg)


def _find_secrets() -> list[str]:
    """The secrets that this process can know of, longest first: one may hold another."""
    found = {os.environ.get(name, "") for name in _NAMES}
    found |= {_key_of_kaggle(Path.home() / ".kaggle" / "kaggle.json"), *_of_dotenv(Path(".env"))}
    return sorted((s for s in found if len(s) >= _SHORTEST), key=len, reverse=True)


def _key_of_kaggle(path: Path) -> str:
    try:
        return str(json.loads(path.read_text())["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _of_dotenv(path: Path) -> list[str]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, ValueError):
        return []
    pairs = (line.removeprefix("export ").partition("=") for line in map(str.strip, lines))
    return [value.strip().strip("'\"") for name, _, value in pairs if name.strip() in _NAMES]
