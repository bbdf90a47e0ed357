"""An upload belongs to the request that brought it, and is deleted by the last that uses it."""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio import processing_utils
from gradio.route_utils import delete_files_created_by_app
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from starlette.applications import Starlette
from starlette.testclient import TestClient

import app
from fakeface.images import fetch
from fakeface.page.uploads import ROUTE, Page, find_upload, hold, read_upload, receive, waiting
from fakeface.types import FakefaceError, ImageError
from tests.page.helpers import Send, files_in, in_a_loop, open_page

CLIENTS = 8
PROGRAMS = 3  # the same, where each way is tried


@pytest.fixture
def server(uploads: Path) -> Iterator[TestClient]:
    """The route alone, in the place of Gradio's."""
    served = Starlette(routes=[ROUTE])
    blocks = SimpleNamespace(max_file_size=1000)
    served.get_blocks = lambda: blocks
    with TestClient(served) as client:
        yield client


def upload(server: TestClient, data: bytes, name: str = "photo.jpg") -> dict[str, str]:
    answer = server.post(ROUTE.path, files={"files": (name, data)})
    (path,) = answer.json()
    return {"path": path, "orig_name": name}


def test_equal_uploads_are_files_of_their_own(server: TestClient, uploads: Path) -> None:
    ours = [upload(server, b"the same") for _ in range(CLIENTS)]
    assert len({one["path"] for one in ours}) == CLIENTS
    assert {one["path"] for one in ours} <= waiting  # which Gradio deletes when they are old
    for number, one in enumerate(ours, 1):
        with hold(one):
            assert read_upload(one) == (b"the same", "photo.jpg")
        assert len(files_in(uploads)) == CLIENTS - number
    assert list(uploads.iterdir()) == []
    assert waiting.isdisjoint(one["path"] for one in ours)


def test_old_uploads_are_deleted_while_new_ones_come(
    server: TestClient, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an hour of load Gradio's thread that does so met a set that had changed, and ended."""
    page = in_a_loop(Page)
    old = [upload(server, b"nobody asks for this")["path"] for _ in range(3)]
    remove, late = os.remove, []

    def remove_while_one_comes(path: str) -> None:
        remove(path)
        late.append(f"{uploads}/late/{len(late)}")
        waiting.add(late[-1])

    monkeypatch.setattr(os, "remove", remove_while_one_comes)
    delete_files_created_by_app(page, 0)
    assert len(late) == len(old)
    assert files_in(uploads) == []
    assert waiting.issuperset(late) and waiting.isdisjoint(old)
    waiting.difference_update(late)


def test_what_the_route_refuses(server: TestClient, uploads: Path) -> None:
    large = server.post(ROUTE.path, files={"files": ("a", bytes(1001))})
    assert large.status_code == 413 and "maximum allowed size" in large.text
    broken = server.post(
        ROUTE.path, content=b"nonsense", headers={"Content-Type": "multipart/form-data"}
    )
    assert broken.status_code == 400
    assert files_in(uploads) == []


def test_the_last_user_deletes_an_upload(send: Send, uploads: Path) -> None:
    shared = send(b"data")
    begun, last = threading.Barrier(CLIENTS), threading.Lock()
    seen: list[bytes] = []

    def use() -> None:
        with hold(shared):
            begun.wait(30)
            with last:  # one after another leaves, and the file stays for those behind
                seen.append(read_upload(shared)[0])

    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(use) for _ in range(CLIENTS)]:
            done.result()
    assert seen == [b"data"] * CLIENTS
    assert list(uploads.iterdir()) == []
    with pytest.raises(ImageError, match="no longer on the server"):
        find_upload(shared)


def test_a_request_keeps_its_upload_while_others_give_it_up(send: Send, uploads: Path) -> None:
    kept, other = send(b"data"), send(b"other")
    with hold(kept):
        with hold(other, kept, {"path": "gone"}, {}):
            pass
        assert files_in(uploads) == [Path(kept["path"])]
    assert files_in(uploads) == []


def test_a_fault_deletes_the_upload_too(send: Send, uploads: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold(send(b"data")):
        _ = 1 / 0
    assert files_in(uploads) == []


@pytest.mark.parametrize(
    "kind", ["outside", "folder", "dots", "link", "none", "nothing", "long", "null"]
)
def test_a_forged_upload_is_refused(kind: str, uploads: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"secret")
    (uploads / "link").symlink_to(secret)
    forged = {
        "outside": {"path": str(secret)},
        "folder": {"path": str(uploads)},
        "dots": {"path": f"{uploads}/../secret.jpg"},
        "link": {"path": str(uploads / "link")},
        "none": {"path": None},
        "nothing": {},
        "long": {"path": str(uploads / ("a" * 5000))},
        "null": {"path": f"{uploads}/a\0b"},
    }[kind]
    with hold(forged), pytest.raises(ImageError, match="no longer on the server"):
        read_upload(forged)
    assert secret.read_bytes() == b"secret"


def test_only_the_end_of_a_name_is_kept(send: Send) -> None:
    assert find_upload(send(b"", "C/../../etc/passwd"))[1] == "passwd"


def test_equal_uploads_of_many_clients_are_all_answered(
    address: str, portrait: bytes, uploads: Path
) -> None:
    """A real server: each client uploads the same file, and calls once all of them have."""
    uploaded = threading.Barrier(CLIENTS)

    def ask(_: int) -> dict[str, Any]:
        with httpx.Client(base_url=f"{address}/gradio_api", timeout=120) as client:
            (path,) = client.post("/upload", files={"files": ("a.jpg", portrait)}).json()
            sent = {"path": path, "orig_name": "a.jpg", "meta": {"_type": "gradio.FileData"}}
            uploaded.wait(60)
            event = client.post("/call/check", json={"data": [sent, ""]}).json()["event_id"]
            told = client.get(f"/call/check/{event}").text
        last = told.strip().rpartition("event: ")[2]  # heartbeats may come before
        assert last.startswith("complete"), told
        (answer,) = json.loads(last.split("data: ")[1])
        return answer

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(ask, range(CLIENTS)))
    digest = hashlib.sha256(portrait).hexdigest()
    assert [(a["status"], a["sha256"]) for a in answers] == [("ok", digest)] * CLIENTS
    assert files_in(uploads) == []


# By a program, as an address or as text


@pytest.fixture
def tools(untrained: Path, uploads: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a page that is an MCP server too, and takes all clients at once."""
    monkeypatch.setattr(app.api, "LIMITS", {"concurrency_limit": PROGRAMS})
    page: gr.Blocks = open_page(mcp=True)
    yield page.local_url.rstrip("/")
    page.close()


@pytest.fixture
def web(portrait: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """The address of a picture on a server that waits until all clients ask, and what was asked."""
    everyone, asked = threading.Barrier(PROGRAMS), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["User-Agent"])
            if self.path.startswith("/together"):
                everyone.wait(60)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(portrait)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    anywhere = fetch.Network(allows=lambda _: True, ports=None)
    monkeypatch.setattr(fetch, "fetch", functools.partial(fetch.fetch, network=anywhere))
    yield f"http://127.0.0.1:{server.server_port}/together.jpg", asked
    server.shutdown()
    thread.join()
    server.server_close()


def ask_api(address: str, name: str, *sent: Any) -> str:
    """What the HTTP API answers, as text."""
    with httpx.Client(base_url=f"{address}/gradio_api", timeout=120) as client:
        event = client.post(f"/call/{name}", json={"data": list(sent)}).json()["event_id"]
        return client.get(f"/call/{name}/{event}").text


def ask_mcp(address: str, name: str, **sent: Any) -> str:
    """What a tool answers, as text; an error begins with the word."""

    async def talk() -> str:
        async with (
            streamable_http_client(f"{address}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            said = await session.call_tool(name, sent)
            return "error: " * bool(said.isError) + " ".join(part.text for part in said.content)

    return asyncio.run(talk())


Way = Callable[[str, str, str], str]  # address of the page, of the picture, its data URL -> answer
WAYS: dict[str, Way] = {
    "an address of its own": lambda page, url, _: ask_api(page, "check_url", url, ""),
    "an address as a file": lambda page, url, _: ask_api(
        page, "check", {"path": url, "url": url, "meta": {"_type": "gradio.FileData"}}, ""
    ),
    "an address by MCP": lambda page, url, _: ask_mcp(page, "check", picture=url),
    "a data URL": lambda page, _, data: ask_api(page, "check", data, ""),
    "a data URL by MCP": lambda page, _, data: ask_mcp(page, "check", picture=data),
    "a batch by MCP": lambda page, url, data: ask_mcp(
        page, "check_batch", pictures=[data, url.replace("together", "alone")]
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_picture_by_many_clients_at_once_is_judged_for_each(
    way: str,
    tools: str,
    web: tuple[str, list[str]],
    portrait: bytes,
    uploads: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each has a file of its own, which is gone with the answer; Gradio fetches and writes none."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("Gradio opened a stranger's file")

    for name in ("async_ssrf_protected_download", "save_base64_to_cache", "save_file_to_cache"):
        monkeypatch.setattr(processing_utils, name, refuse)
    data = "data:image/jpeg;base64," + base64.b64encode(portrait).decode()
    with ThreadPoolExecutor(PROGRAMS) as pool:
        answers = list(pool.map(lambda _: WAYS[way](tools, web[0], data), range(PROGRAMS)))
    digest = hashlib.sha256(portrait).hexdigest()
    for answer in answers:
        assert digest in answer and "no longer on the server" not in answer, answer
        assert "unreadable" not in answer, answer
    assert set(web[1]) <= {"fakeface"}
    assert files_in(uploads) == []


def test_an_address_of_a_program_is_asked_by_the_rules_of_fetch(
    address: str, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradio's own rules would let a name of the Hugging Face hub lead anywhere."""
    inside = [(2, 1, 6, "", ("10.0.0.1", 80))]
    network = fetch.Network(look_up=lambda *_, **__: inside)
    monkeypatch.setattr(fetch, "fetch", functools.partial(fetch.fetch, network=network))
    url = "http://huggingface.co/a.jpg"
    for path in (url, {"path": url, "meta": {"_type": "gradio.FileData"}}):
        assert "private network" in ask_api(address, "check", path, "")
        assert "private network" in ask_api(address, "check_batch", [path], "")
    assert files_in(uploads) == []


@pytest.mark.parametrize("name", ["check", "compare", "make_report", "check_batch"])
def test_a_file_of_the_server_is_not_opened_for_a_program(
    name: str, tools: str, tmp_path: Path, portrait: bytes
) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(portrait)
    digest = hashlib.sha256(portrait).hexdigest()
    many = name == "check_batch"
    for sent in (str(secret), {"path": str(secret), "meta": {"_type": "gradio.FileData"}}):
        arguments = {"pictures": [sent]} if many else {"picture": sent}
        rest = {"compare": [[]], "make_report": [[], False]}.get(name, [""])
        by_mcp = ask_mcp(tools, name, **arguments)
        by_api = ask_api(tools, name, [sent] if many else sent, *rest)
        assert digest not in by_mcp + by_api
        assert "no longer on the server" in by_api
    assert secret.exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("data:,text", "not in base64"),
        ("data:image/png;base64,&", "is damaged"),
        ("data:image/png;base64," + "A" * (45 * 2**20), "larger than 32 MiB"),
    ],
    ids=["plain", "damaged", "large"],
)
def test_a_data_url_that_is_none_is_a_sentence(url: str, words: str, uploads: Path) -> None:
    with pytest.raises(FakefaceError, match=words), receive(url):
        pass
    assert files_in(uploads) == []
