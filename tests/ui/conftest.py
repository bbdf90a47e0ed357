"""A running page, and a browser window on it that complains of anything it should not meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from fakeface.models import checkpoints
from tests.ui.serve import (
    CHROMIUM,
    NO_BROWSER,
    chromium,
    damaged_copy,
    models_for_tests,
    random_checkpoint,
    served,
    with_curve,
)
from web import assemble, runtime

Open = Callable[..., Page]

PATIENCE = 90_000  # milliseconds; only a test that fails ever waits that long
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models: the shipped ones, one of random weights, and one that is damaged."""
    root = models_for_tests(tmp_path_factory.mktemp("models"), default_only=True)
    shipped = min(root.iterdir())
    with_curve(random_checkpoint(root))
    damaged_copy(shipped)
    return root


@pytest.fixture(scope="session")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the running page puts what is sent to it: the folder `uploads` in here."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="session")
def url(models: Path, uploads: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the running page, on a machine without the HEIC extra."""
    hidden = tmp_path_factory.mktemp("hidden")
    (hidden / "pi_heif.py").write_text("raise ImportError('hidden by the tests')\n")
    with served(uploads, models, PYTHONPATH=str(hidden)) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    if not CHROMIUM or not Path(CHROMIUM).exists():
        pytest.skip(NO_BROWSER)
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="session")
def static_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page that runs in the browser alone, as `make web` makes it."""
    try:
        runtime.read_runtime()
    except runtime.RuntimeMissing as error:
        pytest.skip(f"that page cannot be assembled: {error}")
    out = tmp_path_factory.mktemp("web") / "web"
    assemble.assemble(out, checkpoints.default())
    return out


@pytest.fixture
def open_page(browser: Browser, url: str) -> Iterator[Open]:
    """Opens the page in a window of its own; at the end nothing untoward may have happened."""
    contexts, wrong = [], []

    def watch(page: Page, known: tuple[str, ...]) -> None:
        def logged(message: ConsoleMessage) -> None:
            expected = any(words in message.text for words in known)
            if message.type in ("error", "warning") and not expected:
                wrong.append(message.text)

        page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
        page.on("console", logged)
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))

    def asked(address: str) -> None:
        scheme, host = urlsplit(address)[:2]
        if scheme not in ("data", "blob") and host.partition(":")[0] != "127.0.0.1":
            wrong.append(f"outside request: {address}")

    def open_it(
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        at: str | None = None,
        refused: bool = False,
        lost: bool = False,
        injected: bool = False,
    ) -> Page:
        known = ("503 (Service Unavailable)",) if refused else ()
        if lost:
            known += ("net::ERR_FAILED",)
        if injected:
            known += ("Content Security Policy", "404 (Not Found)")
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            permissions=["camera", "clipboard-read", "clipboard-write"],
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        context.on("request", lambda request: asked(request.url))
        page = context.new_page()
        watch(page, known)
        page.goto(at or url)
        page.locator("#drop form").wait_for()
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert not wrong
