"""A server that is told to stop finishes what runs, and takes nothing more."""

from __future__ import annotations

import threading
import time

import pytest

from fakeface.page import stopping
from fakeface.page.stopping import ServerStops, admit, stop


class Page:
    """Stands for a launched page."""

    closed = False

    def close(self, verbose: bool) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """A server that runs, and delivers at once."""
    monkeypatch.setattr(stopping, "_running", 0)
    monkeypatch.setattr(stopping, "_stopping", False)
    monkeypatch.setattr(stopping, "_DELIVERY", 0.0)


def start(page: Page, patience: float = 10.0) -> threading.Thread:
    thread = threading.Thread(target=stop, args=(page, patience))
    thread.start()
    while not stopping._stopping:
        time.sleep(0.001)
    return thread


def test_what_runs_is_finished_and_the_rest_is_refused():
    page = Page()
    with admit():
        thread = start(page)
        with pytest.raises(ServerStops, match="stopping; try again"), admit():
            pytest.fail("a request was taken")
        assert not page.closed
    thread.join(10)
    assert page.closed


def test_without_requests_it_stops_at_once():
    page = Page()
    start(page).join(10)
    assert page.closed


def test_what_never_ends_is_not_waited_for_for_ever():
    page = Page()
    with admit():
        start(page, patience=0.05).join(10)
        assert page.closed


def test_a_request_that_fails_is_over():
    with pytest.raises(ValueError, match="bad"), admit():
        raise ValueError("bad")
    page = Page()
    start(page).join(10)
    assert page.closed
