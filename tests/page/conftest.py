"""Uploads as Gradio hands them to a handler, and the page without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from fakeface.page import service
from tests.page.helpers import Send, open_page


@pytest.fixture(autouse=True)
def _nothing_loaded() -> Iterator[None]:
    """Models of an earlier test are forgotten: each test has a folder of its own."""
    service._model.cache_clear()
    yield
    service._model.cache_clear()


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of uploads."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


@pytest.fixture
def send(uploads: Path) -> Send:
    """Puts bytes where an upload would lie, and returns what a browser then sends of it."""

    def put(data: bytes, name: str = "photo.jpg") -> dict[str, Any]:
        folder = uploads / f"upload-{len(list(uploads.iterdir()))}"
        folder.mkdir()
        (folder / "photo").write_bytes(data)
        return {"path": str(folder / "photo"), "orig_name": name}

    return put


@pytest.fixture
def address(untrained: Path, uploads: Path) -> Iterator[str]:
    """The address of a page that runs in this process, with the one model `untrained`."""
    page: gr.Blocks = open_page()
    yield page.local_url.rstrip("/")
    page.close()
