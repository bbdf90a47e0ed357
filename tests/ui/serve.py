"""Starts the page as its users do, in a process of its own, and opens it in headless Chromium."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from playwright.sync_api import Browser, sync_playwright

from fakeface.models import checkpoints
from fakeface.models.backbones import BACKBONES, build
from fakeface.models.calibrate import Calibration
from fakeface.models.preprocess import Preprocessing
from tests.page.helpers import free_port

ROOT = Path(__file__).resolve().parents[2]
# FAKEFACE_CHROMIUM, else the first that the PATH has; empty where there is none.
_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("FAKEFACE_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), "")
NO_BROWSER = "no browser: install Chromium (Debian: apt-get install chromium)"
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-renderer-backgrounding",  # or a busy machine starves the page
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]

AT_REST = """[...document.querySelectorAll('.html-container')]
  .every((part) => getComputedStyle(part).opacity === '1')"""  # no answer is on its way or fades in


def random_checkpoint(root: Path, name: str = "random", backbone: str = "mobilenetv2_100") -> Path:
    """A model of random weights, which is a model in every respect but what it knows."""
    facts = BACKBONES[backbone]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = build(backbone)
        for tensor in network.get_submodule(facts.head).parameters():
            torch.nn.init.normal_(tensor)
    card = checkpoints.Card(
        name=name,
        title=f"{facts.title}, random",
        backbone=backbone,
        preprocessing=Preprocessing(224, 0.3, facts.mean, facts.std),
        calibration=Calibration(temperature=1.5, real_below=0.3, fake_above=0.7),
        training={"summary": "Nothing: its weights are random."},
        metrics={"sets": {"test": {"auc": {"value": 0.95}}}},
        licence="Apache-2.0",
        terms="",
        sha256="",
    )
    checkpoints.save(root / name, network, card)
    return root / name


def with_curve(folder: Path) -> None:
    """Add a validation curve to a model's card, as an evaluation stores it."""
    card = checkpoints.read_card(folder)
    falling = [1 - i / 100 for i in range(101)]
    val = {
        "curve": {
            "p_fake": falling,
            "photographs_flagged": [0.5 * (1 - p) for p in falling],
            "fakes_caught": [min(1.0, 0.4 + 0.9 * (1 - p)) for p in falling],
        }
    }
    sets = {**card.metrics["sets"], "val": val}
    checkpoints.write_card(folder, dataclasses.replace(card, metrics={"sets": sets}))


def damaged_copy(folder: Path) -> str:
    """A copy beside a model, whose weights differ from the checksum in its card; its title."""
    copy = folder.with_name(f"zz-damaged-{folder.name}")
    shutil.copytree(folder, copy)
    card = dataclasses.replace(
        checkpoints.read_card(folder), name=copy.name, title="Damaged copy", metrics={}
    )
    (copy / "card.json").write_text(card.to_json(), encoding="utf-8")
    (copy / "metrics.json").unlink(missing_ok=True)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"\n")
    return card.title


def models_for_tests(root: Path, default_only: bool = False) -> Path:
    """A folder of models: the shipped ones, or their default alone, else one of random weights."""
    shipped = ROOT / "checkpoints"
    names = [card.name for card in checkpoints.installed(shipped)]
    if names and default_only:
        names = [checkpoints.default(shipped)]
    for name in names:
        shutil.copytree(shipped / name, root / name)
    if not names:
        random_checkpoint(root)
    return root


@contextmanager
def served(
    scratch: Path, models: Path | None = None, folder: Path = ROOT, **variables: str
) -> Iterator[str]:
    """The page's address while it runs.

    Args:
        scratch: an empty folder, for uploads and the log.
        models: the folder of models; None for the one that is shipped.
        folder: where app.py lies.
        variables: of the environment, in addition.

    Raises:
        RuntimeError: it did not start.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    ours = {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(scratch / "uploads"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",  # two would fight each other where tests share a machine
    }
    if models:
        ours["FAKEFACE_CHECKPOINTS"] = str(models)
    log = scratch / "app.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=folder,
            env=os.environ | ours | variables,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait(url, process, log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                answer.read()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)  # a server that starts gives nothing else to wait on
    raise RuntimeError(f"The page did not start:\n{log.read_text()}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Headless Chromium with a made-up camera."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        yield browser
        browser.close()
