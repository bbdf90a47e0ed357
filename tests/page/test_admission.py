"""Where the queue is full, the next is told so at once; who was let in to upload may join."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file

from fakeface.page import admission, api
from fakeface.page.admission import Admission
from fakeface.page.errors import BUSY
from tests.page.helpers import files_in, open_page
from tests.page.test_uploads import ask_mcp

UPLOAD, JOIN, CALL = "/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/call/check"
Message = dict[str, Any]
END: Message = {"type": "http.request", "body": b"", "more_body": False}


# The door alone


@dataclass
class Door:
    """`Admission` before an app that reads what is sent and then says yes.

    Attributes:
        places: how many may wait.
        waiting: those who do.
    """

    places: int
    waiting: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.asgi = Admission(self._answer, self.places)
        blocks = SimpleNamespace(_queue=self.waiting)
        self.app = SimpleNamespace(get_blocks=lambda: blocks)

    @staticmethod
    async def _answer(scope: Message, receive: Callable[[], Any], send: Callable[..., Any]) -> None:
        while (message := await receive()).get("more_body"):
            pass
        if message["type"] == "http.disconnect":
            raise ConnectionError
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"yes"})

    async def ask(
        self, path: str, body: asyncio.Queue[Message] | None = None, method: str = "POST"
    ) -> tuple[int, str]:
        """The status and the text of an answer; what comes of the body is put into the queue."""
        if body is None:
            body = asyncio.Queue()
            body.put_nowait(END)
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "app": self.app}
        await self.asgi(scope, body.get, send)
        return sent[0]["status"], sent[1]["body"].decode()


def test_a_full_queue_refuses_without_reading() -> None:
    async def talk() -> None:
        door = Door(1, ["somebody"])
        never: asyncio.Queue[Message] = asyncio.Queue()
        assert await asyncio.wait_for(door.ask(UPLOAD, never), 5) == (503, BUSY)
        for path in (JOIN, CALL, "/gradio_api/call/v2/check"):
            status, text = await asyncio.wait_for(door.ask(path, never), 5)
            assert (status, json.loads(text)) == (503, {"detail": BUSY})
        for path in ("/", "/gradio_api/queue/data", "/gradio_api/mcp/"):
            assert await door.ask(path) == (200, "yes")
        assert await door.ask("/gradio_api/call/check/id", method="GET") == (200, "yes")
        door.waiting.clear()
        for path in (UPLOAD, JOIN, CALL):
            assert await door.ask(path) == (200, "yes")

    asyncio.run(talk())


@pytest.mark.parametrize("end", ["end", "disconnect"])
def test_an_upload_under_way_takes_a_place_until_it_ends(end: str) -> None:
    async def talk() -> None:
        door = Door(2, ["somebody"])
        body: asyncio.Queue[Message] = asyncio.Queue()
        slow = asyncio.create_task(door.ask(UPLOAD, body))
        await asyncio.sleep(0)
        assert (await door.ask(UPLOAD))[0] == 503
        assert (await door.ask(JOIN))[0] == 200  # it does not wait for those who only send
        body.put_nowait(END if end == "end" else {"type": "http.disconnect"})
        await asyncio.gather(slow, return_exceptions=True)
        assert (await door.ask(UPLOAD))[0] == 200

    asyncio.run(talk())


def test_an_upload_that_stands_still_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk() -> None:
        door = Door(1)
        stalled = asyncio.create_task(door.ask(UPLOAD, asyncio.Queue()))
        await asyncio.sleep(0)
        assert (await door.ask(UPLOAD))[0] == 503
        monkeypatch.setattr(admission, "PATIENCE", 0.0)
        assert (await door.ask(UPLOAD))[0] == 200
        stalled.cancel()

    asyncio.run(talk())


def test_who_was_let_in_to_upload_may_join_for_some_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def talk() -> None:
        door = Door(1)
        assert (await door.ask(UPLOAD))[0] == 200
        door.waiting.append("somebody who was faster")
        assert (await door.ask(JOIN))[0] == 200
        assert (await door.ask(JOIN))[0] == 503, "one upload lets one in"
        door.waiting.clear()
        assert (await door.ask(UPLOAD))[0] == 200
        door.waiting.append("somebody")
        monkeypatch.setattr(admission, "PATIENCE", 0.0)
        assert (await door.ask(JOIN))[0] == 503

    asyncio.run(talk())


def test_a_batch_of_more_files_than_places_is_taken() -> None:
    async def talk() -> None:
        door = Door(1)
        for _ in range(100):
            assert (await door.ask(UPLOAD))[0] == 200
        assert (await door.ask(JOIN))[0] == 200

    asyncio.run(talk())


# A real server


@dataclass
class Saturated:
    """A server with one place, where two requests run and one waits, until they may go on."""

    address: str
    go_on: threading.Event
    answers: list[Any]


@pytest.fixture
def saturated(
    untrained: Path, uploads: Path, portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Saturated]:
    go_on, running = threading.Event(), threading.Semaphore(0)
    judge_file = api.judge_file

    def wait_and_judge(*arguments: Any) -> Any:
        running.release()
        assert go_on.wait(60)
        return judge_file(*arguments)

    monkeypatch.setattr(api, "judge_file", wait_and_judge)
    page: gr.Blocks = open_page(queue=1, mcp=True)
    address = page.local_url.rstrip("/")

    def ask() -> str:
        with httpx.Client(base_url=f"{address}/gradio_api", timeout=120) as client:
            (path,) = client.post("/upload", files={"files": ("a.jpg", portrait)}).json()
            event = client.post("/call/check", json={"data": [{"path": path}, ""]}).json()
            return client.get(f"/call/check/{event['event_id']}").text

    with ThreadPoolExecutor(3) as pool:
        asked = []
        try:
            for _ in range(2):
                asked.append(pool.submit(ask))
                assert running.acquire(timeout=60)
            asked.append(pool.submit(ask))
            until = time.monotonic() + 60
            while not len(page._queue) and time.monotonic() < until:
                time.sleep(0.01)
            yield Saturated(address, go_on, asked)
        finally:
            go_on.set()
    page.close()


def test_each_way_to_ask_is_told_that_the_server_is_busy(
    saturated: Saturated, uploads: Path, portrait: bytes, tmp_path: Path
) -> None:
    """And those before it are answered, and no file of the refused is left."""
    before = files_in(uploads)
    assert len(before) == 3
    url = urlsplit(saturated.address)
    with socket.create_connection((url.hostname, url.port), timeout=30) as raw:
        head = f"POST {UPLOAD} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: 10000000\r\n"
        raw.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n--b".encode())
        told = ""
        while BUSY not in told:  # before it has sent its body
            more = raw.recv(65536).decode()
            assert more, told
            told += more
        assert told.startswith("HTTP/1.1 503") and "retry-after: 60" in told.lower()

    data = "data:image/jpeg;base64," + base64.b64encode(portrait).decode()
    with httpx.Client(base_url=saturated.address, timeout=60) as client:
        for _ in range(2):  # the whole body is sent, and the connection serves on
            answer = client.post(UPLOAD, files={"files": ("a.jpg", bytes(20_000_000))})
            assert (answer.status_code, answer.text) == (503, BUSY)
            answer = client.post(CALL, json={"data": [data, ""]})
            assert (answer.status_code, answer.json()) == (503, {"detail": BUSY})

    picture = tmp_path / "a.jpg"
    picture.write_bytes(portrait)
    program = Client(saturated.address, verbose=False)
    with pytest.raises(httpx.HTTPStatusError, match="503 Service Unavailable"):
        program.predict(handle_file(str(picture)), "", api_name="/check")
    with pytest.raises(Exception, match="Queue is full"):
        program.predict("http://example.com/a.jpg", "", api_name="/check_url")
    program.close()
    assert "Queue is full" in ask_mcp(saturated.address, "check", picture=data)

    assert files_in(uploads) == before
    saturated.go_on.set()
    for asked in saturated.answers:
        assert "event: complete" in asked.result(60)
    assert files_in(uploads) == []


def test_a_client_that_goes_away_half_way_leaves_nothing(address: str, uploads: Path) -> None:
    url = urlsplit(address)
    with socket.create_connection((url.hostname, url.port), timeout=30) as raw:
        head = f"POST {UPLOAD} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: 10000000\r\n"
        part = '--b\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
        kind = "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        raw.sendall(f"{head}{kind}{part}".encode() + bytes(100_000))
        until = time.monotonic() + 30
        while not files_in(uploads) and time.monotonic() < until:
            time.sleep(0.01)
        assert files_in(uploads), "it never began"
    while list(uploads.iterdir()) and time.monotonic() < until:
        time.sleep(0.01)
    assert list(uploads.iterdir()) == []
