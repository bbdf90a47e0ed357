"""Who comes when the queue is full is told so at once, before his files are taken in.

Gradio looks at the length of its queue when somebody joins it, and that is after the upload. With
hundreds of clients at once, taking in what is then refused costs everybody a second or two. So
uploads that are under way count as if they waited already. A client that was let in to upload may
join even if others have filled the queue meanwhile.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Final

from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fakeface.page.errors import BUSY
from fakeface.page.uploads import ROUTE

# Seconds that an upload under way counts, so that slow ones do not keep others out, and seconds
# that a client has to join after its upload.
PATIENCE: Final = 5.0
RETRY: Final = {"Retry-After": "60"}  # seconds
_JOINS: Final = ("/gradio_api/queue/join", "/gradio_api/call/")


def bound(places: int) -> int:
    """The length at which Gradio itself refuses to lengthen its queue.

    It leaves room for all who were let in to upload when `places` were not yet taken.
    """
    return 2 * places


class Admission:
    """Refuses uploads, and requests to join the queue, where there is no place for them.

    Uvicorn reads and drops the rest of what a refused client sends, so that it sees the answer.

    Args:
        app: what answers all others.
        places: how many may wait.
    """

    def __init__(self, app: ASGIApp, places: int) -> None:
        self.app = app
        self.places = places
        self._sending: list[float] = []  # when each upload under way began
        # When uploads ended whose clients may still join; the oldest goes where there are too many.
        self._sent: deque[float] = deque(maxlen=places)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        path = scope["path"] if scope["type"] == "http" and scope["method"] == "POST" else ""
        if path == ROUTE.path:
            await self._upload(scope, receive, send)
        elif path.startswith(_JOINS):
            await self._join(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.monotonic()
        sending = sum(begun - since < PATIENCE for since in self._sending)
        if _count_waiting(scope) + sending >= self.places:
            await PlainTextResponse(BUSY, 503, RETRY)(scope, receive, send)
            return
        self._sending.append(begun)
        try:
            await self.app(scope, receive, send)
        finally:
            self._sending.remove(begun)
        self._sent.append(time.monotonic())

    async def _join(self, scope: Scope, receive: Receive, send: Send) -> None:
        while self._sent and time.monotonic() - self._sent[0] > PATIENCE:
            self._sent.popleft()
        if self._sent:
            self._sent.popleft()
        elif _count_waiting(scope) >= self.places:
            await JSONResponse({"detail": BUSY}, 503, RETRY)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _count_waiting(scope: Scope) -> int:
    """How many requests wait in Gradio's queue; those that run are not among them."""
    return len(scope["app"].get_blocks()._queue)
