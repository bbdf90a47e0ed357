"""Pictures and models that the tests may use: nothing is downloaded and nothing is private.

What takes long to import is imported where it is used: the process that hands out the tests reads
this file too, and runs none.
"""

from __future__ import annotations

import atexit
import copy
import functools
import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import fakeface.programs  # noqa: F401  (before any test imports openvino)

os.environ["HF_HUB_OFFLINE"] = "1"  # the tests fetch nothing
os.environ["DATA_TESTS_YUNET"] = os.environ.pop("FAKEFACE_YUNET", "")  # for marker `data` alone
os.environ["FAKEFACE_ENGINE"] = "torch"  # compiling each network of a test would take its time

if "PYTEST_XDIST_WORKER" in os.environ:
    # The last of what is done at the end of a process that ran its part of the tests: to free each
    # of a million objects would take another three seconds.
    atexit.register(os._exit, 0)

if TYPE_CHECKING:
    import torch

    from fakeface.faces import Haar
    from fakeface.models.calibrate import Calibration
    from fakeface.models.card import Card
    from fakeface.models.preprocess import Preprocessing
    from fakeface.types import RGB, Box, Picture

TRAINING = Path(__file__).parent / "training"
DEAR = ("test_assemble.py", "test_runtime.py", "test_shipped.py")  # fixtures of many seconds


@pytest.fixture(scope="session")
def portrait() -> bytes:
    """Grace Hopper, a public-domain photograph of the US Navy that matplotlib ships."""
    import matplotlib.cbook

    path = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    return Path(path).read_bytes()


@pytest.fixture(scope="session")
def haar() -> Haar:
    from fakeface.faces import Haar

    return Haar()


def random_network(name: str) -> torch.nn.Module:
    """A backbone with a head that is not zero, the same at every call."""
    import torch

    network = copy.deepcopy(_random_network(name))
    torch.manual_seed(0)  # for what a test draws next, whether or not the network was made just now
    return network


@functools.cache
def _random_network(name: str) -> torch.nn.Module:
    import torch

    from fakeface.models.backbones import BACKBONES, build

    torch.manual_seed(0)
    network = build(name)
    head = network.get_submodule(BACKBONES[name].head)
    torch.nn.init.normal_(head.weight, std=0.5)
    return network


def card(
    name: str,
    backbone: str = "mobilenetv2_100",
    size: int = 96,
    *,
    preprocessing: Preprocessing | None = None,
    calibration: Calibration | None = None,
) -> Card:
    """A card for a network that was never trained."""
    from fakeface.models.backbones import BACKBONES
    from fakeface.models.calibrate import Calibration
    from fakeface.models.card import Card
    from fakeface.models.preprocess import Preprocessing

    facts = BACKBONES[backbone]
    return Card(
        name=name,
        title=facts.title,
        backbone=backbone,
        preprocessing=preprocessing or Preprocessing(size, 0.3, facts.mean, facts.std),
        calibration=calibration or Calibration(1.5, 0.3, 0.7),
        licence="Apache-2.0",
        terms="never trained",
    )


def as_picture(rgb: RGB, file: str = "") -> Picture:
    """Pixels that come from no file."""
    from fakeface.types import Picture

    return Picture(b"", "0" * 64, rgb, file)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    w = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    h = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    both = max(0, w) * max(0, h)
    return both / (a.w * a.h + b.w * b.h - both)


@pytest.fixture(scope="session")
def _untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fakeface.models import checkpoints

    root = tmp_path_factory.mktemp("untrained")
    checkpoints.save(root / "untrained", random_network("mobilenetv2_100"), card("untrained"))
    return root


@pytest.fixture
def untrained(_untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with the one model `untrained`, which FAKEFACE_CHECKPOINTS names."""
    root = Path(shutil.copytree(_untrained, tmp_path / "checkpoints"))
    monkeypatch.setenv("FAKEFACE_CHECKPOINTS", str(root))
    return root


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[object]:
    """Modules live as long as the tests do, so the garbage collector need not look through them.

    And it looks less often than it would: converting a network makes very many objects.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        atexit.register(gc.unfreeze)  # some libraries complain of what is left when Python ends
        gc.set_threshold(20_000, 20, 20)
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of tests/training, which `make test-fast` leaves out; dear files come first.

    A process that is done takes tests from the end of what another has left: so no file is halved
    whose fixtures both would have to make.
    """
    items.sort(key=lambda item: item.path.name not in DEAR)
    for item in items:
        if TRAINING in item.path.parents:
            item.add_marker("training")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """After pytest's own summary, say how many browser tests were skipped, and what is missing."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = [
        report.longrepr[2].removeprefix("Skipped: ")
        for report in (reporter.stats.get("skipped", []) if reporter else [])
        if "no browser" in str(report.longrepr[2])
    ]
    if skipped:
        reporter.write_line(f"{len(skipped)} browser tests were skipped: {skipped[0]}.")
