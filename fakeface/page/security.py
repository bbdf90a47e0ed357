"""What browsers are told not to do for the page: its Content-Security-Policy.

Everything that is shown is escaped where it is put together; this is a second guard. Nothing may
be loaded from or sent to another host, and no script may run but the files of this server and the
scripts that stand in the page as it is sent: those are named by their hashes, so a script or an
event handler in HTML that came in later does not run. Two holes are Gradio's: its components are
compiled in the browser, which needs `unsafe-eval`, and it sets styles in place.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SCRIPT: Final = re.compile(rb"<script(?P<options>[^>]*)>(?P<text>.*?)</script>", re.DOTALL)
_PATHS: Final = ("", "/")  # of the page itself; the API's own documents are Gradio's


def make_policy(html: bytes) -> str:
    """The value of the header for a page, which names the scripts that stand in it."""
    hashes = [
        base64.b64encode(hashlib.sha256(found["text"]).digest()).decode()
        for found in _SCRIPT.finditer(html)
        if b"src=" not in found["options"]
    ]
    scripts = " ".join(f"'sha256-{value}'" for value in hashes)
    rules = (
        "default-src 'self'",
        f"script-src 'self' 'unsafe-eval' {scripts}".rstrip(),
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'none'",
    )
    return "; ".join(rules)


class ContentSecurity:
    """Adds the headers to the page, and `nosniff` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        held: list[Message] = []  # the start of an HTML answer, until its whole text is known

        async def pass_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                if scope["path"] in _PATHS and "text/html" in headers.get("content-type", ""):
                    held.append(message)
                    return
            elif held:
                held.append(message)
                if not message.get("more_body"):
                    await _send_all(held, send)
                    held.clear()
                return
            await send(message)

        await self.app(scope, receive, pass_on)


async def _send_all(messages: Sequence[Message], send: Send) -> None:
    """A held answer, with the policy that its text asks for."""
    html = b"".join(message.get("body", b"") for message in messages[1:])
    MutableHeaders(scope=messages[0])["Content-Security-Policy"] = make_policy(html)
    for message in messages:
        await send(message)


MIDDLEWARE: Final = Middleware(ContentSecurity)
