"""A stand-in, on 127.0.0.1, for what the clients of the Hugging Face hub and of Kaggle talk to.

It answers the routes that those clients ask for, in the form that the real ones do: listings by
pages, redirects from the hub's name to another, byte ranges, and refusals of gated data.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

REVISION = "0123456789abcdef0123456789abcdef01234567"
PAGE = 5  # entries of a listing


@dataclass
class Remote:
    """What the server holds and how it behaves.

    Attributes:
        repository: of the hub.
        files: path -> bytes, of the repository.
        tokens: token -> its account has accepted the agreement.
        archive: what Kaggle sends.
        key: the name and key that Kaggle knows.
        cut: path -> how many more times its transfer breaks off half-way.
        served: path -> how many bytes were sent of it.
        seen: path -> the headers of each request for its bytes.
    """

    repository: str = "xingjunm/WildDeepfake"
    files: dict[str, bytes] = field(default_factory=dict)
    tokens: dict[str, bool] = field(default_factory=lambda: {"good": True, "new": False})
    archive: bytes = b""
    key: str = "me:secret"
    accepted: bool = True
    cut: Counter[str] = field(default_factory=Counter)
    served: Counter[str] = field(default_factory=Counter)
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0


class Handler(BaseHTTPRequestHandler):
    """The routes."""

    protocol_version = "HTTP/1.1"
    remote: Remote

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def answer(self, status: int, body: object = None, **headers: str) -> None:
        """JSON, or nothing."""
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_GET(self) -> None:
        """What the hub is asked, and where both send their bytes from."""
        path, query = unquote(urlsplit(self.path).path), parse_qs(urlsplit(self.path).query)
        api = f"/api/datasets/{self.remote.repository}"
        resolve = f"/datasets/{self.remote.repository}/resolve/{REVISION}/"
        if path in (api, f"{api}/revision/main", f"{api}/revision/{REVISION}"):
            about = {"id": self.remote.repository, "sha": REVISION, "gated": "manual"}
            self.answer(200, {**about, "private": False, "siblings": [], "tags": []})
        elif path == f"{api}/tree/{REVISION}" or path.startswith(f"{api}/tree/{REVISION}/"):
            below = path.removeprefix(f"{api}/tree/{REVISION}").strip("/")
            self.tree(below, query)
        elif path.startswith(resolve):
            self.resolve(path.removeprefix(resolve))
        elif path.startswith("/cdn/"):
            self.send_bytes(path, self.remote.files[path.removeprefix("/cdn/")])
        elif path == "/storage/archive.zip":
            self.send_bytes(path, self.remote.archive)
        else:
            self.answer(404, {"error": f"no route {path}"})

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        """What Kaggle is asked."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.path.endswith("/v1/datasets.DatasetApiService/DownloadDataset"):
            self.answer(404, {"code": 404, "message": f"no route {self.path}"})
            return
        scheme, _, given = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic" or base64.b64decode(given).decode() != self.remote.key:
            self.answer(401, {"code": 401, "message": "Unauthenticated"})
        elif not self.remote.accepted:
            self.answer(403, {"code": 403, "message": "Permission denied"})
        else:
            self.answer(302, Location=f"http://127.0.0.1:{self.remote.port}/storage/archive.zip")

    def tree(self, below: str, query: dict[str, list[str]]) -> None:
        """One page of a listing: of everything below, or of one folder with its folders."""
        recursive = query.get("recursive", ["false"])[0].lower() == "true"
        entries: dict[str, dict[str, object]] = {}
        for path, data in sorted(self.remote.files.items()):
            if below and not path.startswith(f"{below}/"):
                continue
            rest = path.removeprefix(f"{below}/") if below else path
            if recursive or "/" not in rest:
                entries[path] = {"type": "file", "oid": "0" * 40, "size": len(data), "path": path}
            else:
                folder = path[: len(path) - len(rest)] + rest.split("/")[0]
                entries[folder] = {"type": "directory", "oid": "1" * 40, "size": 0, "path": folder}
        first = int(query.get("cursor", ["0"])[0])
        page = list(entries.values())[first : first + PAGE]
        more = {}
        if first + PAGE < len(entries):
            base = f"http://127.0.0.1:{self.remote.port}{urlsplit(self.path).path}"
            flag = "true" if recursive else "false"
            more["Link"] = f'<{base}?recursive={flag}&cursor={first + PAGE}>; rel="next"'
        self.answer(200, page, **more)

    def resolve(self, name: str) -> None:
        """Send who may have a file on to another host, as the hub does."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        page = f"https://huggingface.co/datasets/{self.remote.repository}"
        if name not in self.remote.files:
            self.answer(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound")
        elif token not in self.remote.tokens:
            said = f"Access to dataset {self.remote.repository} is restricted. Log in at {page}"
            self.answer(401, {"error": said}, X_Error_Code="GatedRepo", X_Error_Message=said)
        elif not self.remote.tokens[token]:
            said = f"Access to dataset {self.remote.repository} is restricted. Visit {page}"
            self.answer(403, {"error": said}, X_Error_Code="GatedRepo", X_Error_Message=said)
        else:
            place = f"http://localhost:{self.remote.port}/cdn/{name}"
            self.answer(302, Location=place, X_Repo_Commit=REVISION, Accept_Ranges="bytes")

    def send_bytes(self, path: str, data: bytes) -> None:
        """A file or a range of it, or half of that and a broken connection."""
        self.remote.seen.append((path, dict(self.headers.items())))
        first, last, status = 0, len(data) - 1, 200
        if asked := self.headers.get("Range"):
            start, _, end = asked.removeprefix("bytes=").partition("-")
            first, last, status = int(start), min(int(end or last), last), 206
        part = data[first : last + 1]
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"the-only-version"')
        self.send_header("Last-Modified", "Wed, 01 Jan 2020 00:00:00 GMT")
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.end_headers()
        if self.remote.cut[path] > 0:
            self.remote.cut[path] -= 1
            part, self.close_connection = part[: len(part) // 2], True
        self.remote.served[path] += len(part)
        self.wfile.write(part)


@contextmanager
def serve(remote: Remote) -> Iterator[Remote]:
    """Run a server for one test; sets `remote.port`."""
    handler = type("Bound", (Handler,), {"remote": remote})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        remote.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield remote
        finally:
            server.shutdown()
            thread.join()
