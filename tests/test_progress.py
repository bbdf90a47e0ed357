"""A log is not filled by a progress bar."""

from __future__ import annotations

import io
import sys

import pytest

from fakeface import progress as module
from fakeface.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    """Time that passes when it is told to."""
    now = [1000.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    monkeypatch.setattr(module.tqdm, "monitor_interval", 0)  # no thread that looks at the clock
    return now


def test_a_log_gets_a_line_a_minute(monkeypatch, clock):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    for _ in progress(range(300), desc="faces"):
        clock[0] += 1
    written = log.getvalue()
    assert "\r" not in written and "\x1b" not in written
    lines = written.splitlines()
    assert written == "\n".join(lines) + "\n"
    assert all(line.startswith("faces: ") for line in lines)
    assert 4 <= len(lines) <= 7, lines
    assert "300/300" in lines[-1]


def test_a_terminal_gets_a_bar(monkeypatch, clock):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    for _ in progress(range(100), desc="faces"):
        clock[0] += 1
    assert terminal.getvalue().count("\r") > 50
