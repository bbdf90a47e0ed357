"""ONNX Runtime for browsers: one pinned package of the npm registry, checked and kept in the cache.

Where npm is installed it fetches the package, for it knows which mirror and proxy to use; elsewhere
it is downloaded. Of its 130 MB, two files are used.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import urllib.request
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import platformdirs

from fakeface.files import write_atomically
from fakeface.types import FakefaceError

NAME: Final = "onnxruntime-web"
VERSION: Final = "1.30.0"
INTEGRITY: Final = (  # as the registry tells it
    "sha512-"
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
ARCHIVE: Final = f"{NAME}-{VERSION}.tgz"
ADDRESS: Final = f"https://registry.npmjs.org/{NAME}/-/{ARCHIVE}"
# The build without WebGPU, which is half as large.
FILES: Final = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")

_TIMEOUT = 30.0  # seconds without an answer


class RuntimeMissing(FakefaceError):
    """ONNX Runtime for browsers is neither in the cache nor to be had."""


def read_runtime() -> dict[str, bytes]:
    """The files of `FILES` by name, from the cache, or fetched and put there.

    Raises:
        RuntimeMissing: they are not in the cache, and the registry cannot be reached.
    """
    path = platformdirs.user_cache_path("fakeface") / ARCHIVE
    data = path.read_bytes() if path.exists() else b""
    if not is_expected(data):
        data = _fetch()
        write_atomically(path, data)
    with tarfile.open(fileobj=BytesIO(data)) as archive:
        members = [archive.extractfile(f"package/dist/{name}") for name in FILES]
        return {name: member.read() for name, member in zip(FILES, members) if member}


def is_expected(data: bytes) -> bool:
    """Whether it is the package that is meant, by its sha512."""
    return f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}" == INTEGRITY


def _fetch() -> bytes:
    npm = shutil.which("npm")
    try:
        data = _pack(npm) if npm else _download()
    except (OSError, subprocess.SubprocessError) as error:
        raise RuntimeMissing(
            f"{NAME} {VERSION} cannot be fetched ({error}); connect to the network and try again."
        ) from error
    if not is_expected(data):
        raise RuntimeMissing(
            f"What the npm registry sent for {NAME} {VERSION} has another sha512; try again, or "
            "ask whoever runs the mirror that npm is set to."
        )
    return data


def _pack(npm: str) -> bytes:
    with TemporaryDirectory() as folder:
        command = [npm, "pack", f"{NAME}@{VERSION}", "--silent", "--fetch-retries=0"]
        subprocess.run(command, cwd=folder, check=True, timeout=600, capture_output=True)  # noqa: S603  (our own words)
        return Path(folder, ARCHIVE).read_bytes()


def _download() -> bytes:
    with urllib.request.urlopen(ADDRESS, timeout=_TIMEOUT) as answer:
        return bytes(answer.read())
