"""The assembled page on a plain static server, and its engine as a function."""

from __future__ import annotations

import base64
import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

# The worker of the page, without the page.
_ENGINE = """([name, text]) => new Promise((resolve) => {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  self.engine ??= new Worker("./worker.js", { type: "module" });
  const ticket = Math.random();
  self.engine.addEventListener("message", function heard({ data }) {
    if (data.ticket !== ticket) return;
    self.engine.removeEventListener("message", heard);
    resolve(data);
  });
  self.engine.postMessage({ ticket, file: new File([bytes], name) });
})"""


@dataclass
class Site:
    """A served folder.

    Attributes:
        url: of its first page.
        asked: what was asked for: method, path, and how many bytes came with it.
    """

    url: str
    asked: list[tuple[str, str, int]] = field(default_factory=list)


@contextmanager
def served(folder: Path, *, isolated: bool = False) -> Iterator[Site]:
    """A folder on a static server.

    Args:
        folder: to serve.
        isolated: send the headers with which browsers allow threads; else none.
    """

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            site.asked.append((self.command, self.path, length))

        def end_headers(self) -> None:
            if isolated:
                self.send_header("Cross-Origin-Opener-Policy", "same-origin")
                self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            super().end_headers()

    handler = functools.partial(Handler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    site = Site(f"http://127.0.0.1:{server.server_port}/")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def engine(browser: Browser, site: Site) -> Iterator[Page]:
    """A window that holds the engine alone; see `judge`."""
    context = browser.new_context()
    context.set_default_timeout(300_000)
    try:
        page = context.new_page()
        page.goto(f"{site.url}NOTICES.txt")
        yield page
    finally:
        context.close()


def judge(page: Page, data: bytes, name: str = "photo") -> dict[str, Any]:
    """What the engine answers to a file: `analysis`, or `message`, as in web/site/worker.js."""
    answer: dict[str, Any] = page.evaluate(_ENGINE, [name, base64.b64encode(data).decode()])
    return answer
