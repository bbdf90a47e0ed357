"""What is pushed to Hugging Face Spaces: it starts from its folder alone, on lent GPUs."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio
import pytest
from gradio_client import Client, handle_file
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from playwright.sync_api import expect

import app
from tests.ui.serve import ROOT, served
from tests.ui.test_page import PORTRAIT, Open, choose, digest, expect_verdict

pytestmark = pytest.mark.ui

# What the package of that name does on ZeroGPU, as far as a page can tell: it wraps functions.
SPACES = """
import functools, os, pathlib, sys
assert "torch" not in sys.modules, "spaces has to come first"
def GPU(function):
    @functools.wraps(function)
    def lent(*args, **options):
        with pathlib.Path(os.environ["LENT"]).open("a") as log:
            log.write(function.__name__ + "\\n")
        return function(*args, **options)
    return lent
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make space` makes."""
    out = tmp_path_factory.mktemp("space") / "space"
    subprocess.run(["make", "--silent", "space", f"SPACE={out}"], cwd=ROOT, check=True)
    return out


@pytest.fixture(scope="module")
def lent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the made-up `spaces` notes for which functions it lent a GPU."""
    return tmp_path_factory.mktemp("lent") / "log"


@pytest.fixture(scope="module")
def space(folder: Path, lent: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page, started from that folder, which it may read and no other."""
    packages = tmp_path_factory.mktemp("packages")
    (packages / "spaces.py").write_text(SPACES)
    variables = {"PYTHONPATH": str(packages), "LENT": str(lent), "FAKEFACE_MCP": "1"}
    with served(tmp_path_factory.mktemp("scratch"), folder=folder, **variables) as url:
        yield url


def test_the_folder_holds_what_a_space_needs_and_nothing_else(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        ".gitattributes", "LICENSE", "README.md", "app.py", "checkpoints", "examples",
        "fakeface", "requirements.txt",
    }  # fmt: skip
    assert not list(folder.rglob("__pycache__"))
    matter = (folder / "README.md").read_text("utf-8").split("---")[1]
    facts = dict(line.split(": ", 1) for line in matter.strip().splitlines())
    assert facts["sdk"] == "gradio"
    assert facts["sdk_version"] == gradio.__version__
    assert (folder / facts["app_file"]).is_file()
    large = [path for path in folder.rglob("*") if path.is_file() and b"\0" in path.read_bytes()]
    kept = (folder / ".gitattributes").read_text()
    assert large and all(f"*{path.suffix} filter=lfs" in kept for path in large)


def test_it_starts_from_its_folder(open_page: Open, space: str, lent: Path) -> None:
    page = open_page(at=space)
    choose(page, PORTRAIT.read_bytes())
    expect_verdict(page, digest(PORTRAIT.read_bytes()))
    expect(page.get_by_role("tab")).to_have_count(4)
    assert set(lent.read_text().split()) == {"_judge"}


def test_programs_are_told_names_and_types(space: str) -> None:
    client = Client(space, verbose=False, download_files=False)
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert sorted(endpoints) == [
        "/check", "/check_batch", "/check_url", "/compare", "/list_models", "/make_report",
    ]  # fmt: skip
    for name in ("/check", "/compare"):
        (returned,) = endpoints[name]["returns"]
        assert "p_fake: float" in returned["python_type"]["type"], returned
    both = client.predict(handle_file(PORTRAIT), api_name="/compare")
    assert both["models"] == [model["name"] for model in client.predict(api_name="/list_models")]
    made = client.predict(handle_file(PORTRAIT), [], True, api_name="/make_report")
    assert made["html"].lstrip().startswith("<!doctype html>")
    assert made["json"]["sha256"] in made["html"]
    (heatmap,) = [m["heatmap"] for m in made["json"]["faces"][0]["models"].values()]
    assert isinstance(heatmap["faithfulness"], float)
    with pytest.raises(Exception, match="private network"):
        client.predict("http://10.0.0.1/a.jpg", api_name="/check_url")
    client.close()


def test_assistants_find_the_same_tools(space: str) -> None:
    async def talk() -> tuple[set[str], Any, Any]:
        async with (
            streamable_http_client(f"{space}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            assert "made by an AI" in (tools["check"].description or "")
            picture = "data:image/jpeg;base64," + base64.b64encode(PORTRAIT.read_bytes()).decode()
            good = await session.call_tool("check", {"picture": picture, "model": ""})
            inside = {"url": "http://127.0.0.1/a.jpg", "model": ""}
            return set(tools), good, await session.call_tool("check_url", inside)

    with ThreadPoolExecutor(1) as apart:  # playwright keeps an event loop in this thread
        names, good, bad = apart.submit(asyncio.run, talk()).result()
    assert names == {
        "check", "check_batch", "check_url", "compare", "list_models", "make_report",
    }  # fmt: skip
    assert digest(PORTRAIT.read_bytes()) in good.content[0].text
    assert bad.isError and "private network" in bad.content[0].text


def test_the_flag_without_its_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"^fakeface: --mcp needs .*pip install .gradio\[mcp\].$"):
        app.main(["--mcp"])
