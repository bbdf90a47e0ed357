"""Pictures and models that the tests may use: nothing is downloaded and nothing is private."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import matplotlib.cbook
import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"  # the tests fetch nothing
os.environ["DATA_TESTS_YUNET"] = os.environ.pop("FAKEFACE_YUNET", "")  # for marker `data` alone
os.environ["FAKEFACE_ENGINE"] = "torch"  # compiling each network of a test would take its time

from fakeface.faces import Haar
from fakeface.models import checkpoints
from fakeface.models.backbones import BACKBONES, build
from fakeface.models.calibrate import Calibration
from fakeface.models.preprocess import Preprocessing
from fakeface.types import RGB, Picture

TRAINING = Path(__file__).parent / "training"


@pytest.fixture(scope="session")
def portrait() -> bytes:
    """Grace Hopper, a public-domain photograph of the US Navy that matplotlib ships."""
    path = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    return Path(path).read_bytes()


@pytest.fixture(scope="session")
def haar() -> Haar:
    return Haar()


def random_network(name: str) -> torch.nn.Module:
    """A backbone with a head that is not zero, the same at every call."""
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
) -> checkpoints.Card:
    """A card for a network that was never trained."""
    facts = BACKBONES[backbone]
    return checkpoints.Card(
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
    return Picture(b"", "0" * 64, rgb, file)


@pytest.fixture
def untrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with the one model `untrained`, which FAKEFACE_CHECKPOINTS names."""
    root = tmp_path / "checkpoints"
    checkpoints.save(root / "untrained", random_network("mobilenetv2_100"), card("untrained"))
    monkeypatch.setenv("FAKEFACE_CHECKPOINTS", str(root))
    return root


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of tests/training, which `make test-fast` leaves out."""
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
