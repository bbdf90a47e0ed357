"""What visitors upload: each upload is a file of its own and is deleted after its last use.

Gradio names an upload's folder by the hash of the file or of its address, so two people who send
the same picture would share one file, and the first to be answered would delete the other's. Here
every upload gets a folder with a name that nobody can guess, however it came: by the upload route,
as an address, or as text in a data URL, as MCP clients send it. One upload may still serve several
requests at once, so their number is counted.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import secrets
import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import gradio as gr
from gradio.route_utils import upload_fn
from gradio.utils import get_upload_folder
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from fakeface.images import decoder, fetch
from fakeface.types import ImageError, ImageTooLarge

Upload: TypeAlias = Mapping[str, Any]  # gradio's FileData: "path" on the server, "orig_name"

Sent: TypeAlias = Upload | gr.FileData | str  # by a program

KEEP: Final = 3600  # seconds; an upload that no request asks for is deleted after that

_UNNAMED: Final = "picture"

_lock = threading.Lock()
_users: Counter[Path] = Counter()


class Waiting(set[str]):
    """The uploads that are still there; Gradio deletes what is older than KEEP.

    Its thread goes through them while others come and go, so what it goes through is a copy: the
    change of a set under its hands would end that thread, and then nothing would be deleted.
    """

    def __iter__(self) -> Iterator[str]:
        return iter(frozenset(self))  # copied at once, and not by this method


waiting: Final = Waiting()


class Page(gr.Blocks):
    """Blocks that see no files in what browsers and programs send.

    Gradio would fetch any address that stands in the place of an upload, under weaker rules than
    those of `fetch` and into a file that all who name this address share. So it is not told which
    values are files; the handlers open them with the functions below.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.upload_file_set = waiting
        self.temp_file_sets = [waiting]

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], *rest: Any, **options: Any
    ) -> Any:
        """See `gr.Blocks`."""
        return await super().preprocess_data(block_fn, _unmark(inputs), *rest, **options)


def _unmark(value: Any) -> Any:
    """A value without what tells Gradio that something in it is a file."""
    if isinstance(value, dict):
        return {name: _unmark(part) for name, part in value.items() if name != "meta"}
    return [_unmark(part) for part in value] if isinstance(value, list) else value


async def receive_upload(request: Request) -> Response:
    """Gradio's own upload route, but with a new folder for each upload.

    Returns:
        A JSON list with the path of each file.
    """
    blocks = request.app.get_blocks()
    folder = _new_folder()
    limit = math.inf if blocks.max_file_size is None else blocks.max_file_size
    paths: list[Path] = []
    try:
        paths, _, _ = await upload_fn(request, folder, limit, None)
    except MultiPartException as error:
        too_large = "maximum allowed size" in error.message
        return PlainTextResponse(error.message, status_code=413 if too_large else 400)
    finally:
        if not paths:  # as where the client went away half-way, of which Gradio keeps the half
            shutil.rmtree(folder, ignore_errors=True)
    waiting.update(map(str, paths))
    return JSONResponse([str(path) for path in paths])


ROUTE = Route("/gradio_api/upload", receive_upload, methods=["POST"])


def as_upload(sent: Sent) -> Upload:
    """What a program sent, with its path, which may be an address or a data URL."""
    return {"path": sent} if isinstance(sent, str) else cast(Upload, sent)  # of FileData, the dict


@contextmanager
def receive(sent: Sent) -> Iterator[Upload]:
    """Bring a file of a program to this server, and keep it while the block runs.

    Args:
        sent: an upload, or an address or a data URL, also in the place of an upload's path.

    Yields:
        An upload; `find_upload` finds its file.

    Raises:
        ImageError, FetchError: it cannot be brought here.
    """
    upload = as_upload(sent)
    where = str(upload.get("path"))
    name = str(upload.get("orig_name") or "")
    if re.match(r"(?i)https?://", where):
        found = fetch.fetch(where)
        upload = _keep(found.data, name or found.name)
    elif where.startswith("data:"):
        upload = _keep(_unpack(where), name or _UNNAMED)
    with hold(upload):
        yield upload


def _unpack(url: str) -> bytes:
    """The bytes of a data URL.

    Raises:
        ImageError: it is damaged, or they are too many.
    """
    head, _, text = url.partition(",")
    if not head.endswith(";base64"):
        raise ImageError("This data URL is not in base64; encode the picture again.")
    if len(text) > 4 * (decoder.MAX_BYTES + 2) // 3:
        raise ImageTooLarge(decoder.TOO_MANY_BYTES)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError("This data URL is damaged; encode the picture again.") from error


def _keep(data: bytes, name: str) -> Upload:
    """A new upload of these bytes."""
    path = _new_folder() / "photo"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return {"path": str(path), "orig_name": name}


def find_upload(upload: Upload) -> tuple[Path, str]:
    """Where an upload lies, and the name its owner gave it.

    Raises:
        ImageError: it is gone, or was never uploaded: a forged request could name any file.
    """
    try:
        path = Path(str(upload.get("path"))).resolve()
        there = path.is_relative_to(_root()) and path.is_file()
    except (OSError, ValueError):  # a name that is too long, or has a null character in it
        there = False
    if not there:
        raise ImageError("This picture is no longer on the server; choose it again.")
    return path, name_of(upload)


def name_of(upload: Upload) -> str:
    """The name its owner gave it, without folders; that of its file where there is none."""
    path = str(upload.get("path") or "")
    return Path(
        str(upload.get("orig_name") or (_UNNAMED if path.startswith("data:") else path))
    ).name


def read_upload(upload: Upload) -> tuple[bytes, str]:
    """The bytes and the name of an upload.

    Raises:
        ImageError: see `find_upload` and `decoder.read_bytes`.
    """
    path, name = find_upload(upload)
    return decoder.read_bytes(path), name


@contextmanager
def hold(*uploads: Upload) -> Iterator[None]:
    """Keep uploads while the block runs; whoever uses one last deletes it.

    An upload that is gone already is no error here.
    """
    paths = set()
    with _lock:
        for upload in uploads:
            with suppress(ImageError):
                paths.add(find_upload(upload)[0])
        _users.update(paths)
    try:
        yield
    finally:
        with _lock:
            _users.subtract(paths)
            for path in paths:
                if _users[path] <= 0:
                    del _users[path]
                    _delete(path)


def _delete(path: Path) -> None:
    """Delete a file, and the folders that were made for it."""
    root = _root()
    waiting.discard(str(path))
    with suppress(OSError):
        path.unlink()
        for folder in path.parents:
            if folder == root:
                break
            folder.rmdir()  # an OSError where another file is in it ends this


def _new_folder() -> Path:
    """The folder of a new upload, which is not made yet."""
    return _root() / secrets.token_urlsafe(24)


def _root() -> Path:
    return Path(get_upload_folder()).resolve()
