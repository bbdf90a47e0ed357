"""What visitors upload: each upload is a file of its own and is deleted after its last use.

Gradio names an upload's folder by the hash of the file, so two people who send the same picture
would share one file, and the first to be answered would delete the other's. Here every upload gets
a folder with a name that nobody can guess. One upload may still serve several requests at once, so
their number is counted.
"""

from __future__ import annotations

import math
import secrets
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

from gradio.route_utils import upload_fn
from gradio.utils import get_upload_folder
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from fakeface.images import decoder
from fakeface.types import ImageError

Upload: TypeAlias = Mapping[str, Any]  # gradio's FileData: "path" on the server, "orig_name"

KEEP: Final = 3600  # seconds; an upload that no request asks for is deleted after that

_lock = threading.Lock()
_users: Counter[Path] = Counter()


async def receive_upload(request: Request) -> Response:
    """Gradio's own upload route, but with a new folder for each upload.

    Returns:
        A JSON list with the path of each file.
    """
    blocks = request.app.get_blocks()
    folder = Path(get_upload_folder()) / secrets.token_urlsafe(24)
    limit = math.inf if blocks.max_file_size is None else blocks.max_file_size
    try:
        paths, _, _ = await upload_fn(request, folder, limit, None)
    except MultiPartException as error:
        too_large = "maximum allowed size" in error.message
        return PlainTextResponse(error.message, status_code=413 if too_large else 400)
    blocks.upload_file_set.update(paths)  # from which Gradio deletes what is older than KEEP
    return JSONResponse([str(path) for path in paths])


ROUTE = Route("/gradio_api/upload", receive_upload, methods=["POST"])


def find_upload(upload: Upload) -> tuple[Path, str]:
    """Where an upload lies, and the name its owner gave it.

    Raises:
        ImageError: it is gone, or was never uploaded: a forged request could name any file.
    """
    path = Path(str(upload.get("path"))).resolve()
    if not path.is_relative_to(_root()) or not path.is_file():
        raise ImageError("This picture is no longer on the server; choose it again.")
    return path, name_of(upload)


def name_of(upload: Upload) -> str:
    """The name its owner gave it, without folders; that of its file where there is none."""
    return Path(str(upload.get("orig_name") or upload.get("path") or "")).name


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
    with suppress(OSError):
        path.unlink()
        for folder in path.parents:
            if folder == root:
                break
            folder.rmdir()  # an OSError where another file is in it ends this


def _root() -> Path:
    return Path(get_upload_folder()).resolve()
