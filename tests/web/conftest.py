"""The page for browsers, assembled once, and a browser to open it in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from fakeface.models import checkpoints
from tests.ui.serve import CHROMIUM, NO_BROWSER, chromium
from tests.web.browser import Site, engine, served
from web import assemble, runtime


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make web` makes."""
    try:
        runtime.read_runtime()
    except runtime.RuntimeMissing as error:
        pytest.skip(f"the page cannot be assembled: {error}")
    out = tmp_path_factory.mktemp("web") / "web"
    assemble.assemble(out, checkpoints.default())
    return out


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    if not CHROMIUM or not Path(CHROMIUM).exists():
        pytest.skip(NO_BROWSER)
    with chromium() as opened:
        yield opened


@pytest.fixture
def site(browser: Browser, folder: Path) -> Iterator[Site]:
    """The page on a static server."""
    with served(folder) as found:
        yield found


@pytest.fixture(scope="module")
def worker(browser: Browser, folder: Path) -> Iterator[Page]:
    """A window that holds the engine of the page alone."""
    with served(folder) as found, engine(browser, found) as page:
        yield page
