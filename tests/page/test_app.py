"""The page as a whole, without a browser."""

from __future__ import annotations

import gc
import importlib.util
import urllib.request
from pathlib import Path

import pytest

import app
from fakeface.page import service
from fakeface.page.security import make_policy
from tests.page.helpers import in_a_loop, open_page


def test_the_page_stands_without_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uploads: Path
) -> None:
    monkeypatch.setenv("FAKEFACE_CHECKPOINTS", str(tmp_path))
    page = in_a_loop(app.build)
    assert "No model is installed" in str(page.get_config_file())
    del page
    gc.collect()  # what was left open is a warning here, and a warning is an error


def test_the_tabs_are_put_together(untrained: Path, uploads: Path) -> None:
    config = in_a_loop(app.build).get_config_file()
    tabs = [c["props"]["label"] for c in config["components"] if c["type"] == "tabitem"]
    assert tabs == ["Check", "Compare", "Batch", "Models"]
    public = [d["api_name"] for d in config["dependencies"] if d["api_visibility"] == "public"]
    assert sorted(filter(None, public)) == [
        "check", "check_batch", "check_url", "compare", "list_models", "make_report",
    ]  # fmt: skip


def test_few_visits_are_remembered(untrained: Path, uploads: Path) -> None:
    """Each call of a program is a visit, of which Gradio would keep ten thousand."""
    page = open_page()
    for number in range(3 * app.SESSIONS):
        assert page.state_holder[f"visit {number}"]
    assert len(page.state_holder.session_data) == app.SESSIONS
    page.close()


def test_a_browser_is_told_what_not_to_run(address: str) -> None:
    with urllib.request.urlopen(address, timeout=60) as answer:
        html, headers = answer.read(), answer.headers
    assert headers["Content-Security-Policy"] == make_policy(html)
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_flag_without_its_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"^fakeface: --mcp needs .*pip install .gradio\[mcp\].$"):
        app.main(["--mcp"])


def test_all_is_prepared_before_the_page_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []
    monkeypatch.setattr(service, "prepare", lambda example: done.append(example.is_file()))
    monkeypatch.setattr(app, "serve", lambda **options: done.append(options))
    app.main([])
    monkeypatch.setenv("FAKEFACE_MCP", "1")
    app.main([])
    assert done == [True, {"queue": 64, "mcp": False}, True, {"queue": 64, "mcp": True}]
