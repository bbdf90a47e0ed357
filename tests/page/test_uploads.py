"""An upload belongs to the request that brought it, and is deleted by the last that uses it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from fakeface.page.uploads import ROUTE, find_upload, hold, read_upload
from fakeface.types import ImageError
from tests.page.helpers import Send, files_in

CLIENTS = 8


@pytest.fixture
def server(uploads: Path) -> Iterator[TestClient]:
    """The route alone, in the place of Gradio's."""
    served = Starlette(routes=[ROUTE])
    blocks = SimpleNamespace(max_file_size=1000, upload_file_set=set())
    served.get_blocks = lambda: blocks
    with TestClient(served) as client:
        client.waiting = blocks.upload_file_set
        yield client


def upload(server: TestClient, data: bytes, name: str = "photo.jpg") -> dict[str, str]:
    answer = server.post(ROUTE.path, files={"files": (name, data)})
    (path,) = answer.json()
    return {"path": path, "orig_name": name}


def test_equal_uploads_are_files_of_their_own(server: TestClient, uploads: Path) -> None:
    ours = [upload(server, b"the same") for _ in range(CLIENTS)]
    assert len({one["path"] for one in ours}) == CLIENTS
    assert server.waiting == {one["path"] for one in ours}  # which Gradio deletes when they are old
    for number, one in enumerate(ours, 1):
        with hold(one):
            assert read_upload(one) == (b"the same", "photo.jpg")
        assert len(files_in(uploads)) == CLIENTS - number
    assert list(uploads.iterdir()) == []


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


@pytest.mark.parametrize("kind", ["outside", "folder", "dots", "link", "none", "nothing"])
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
        assert told.startswith("event: complete"), told
        (answer,) = json.loads(told.split("data: ")[1])
        return answer

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(ask, range(CLIENTS)))
    digest = hashlib.sha256(portrait).hexdigest()
    assert [(a["status"], a["sha256"]) for a in answers] == [("ok", digest)] * CLIENTS
    assert files_in(uploads) == []
