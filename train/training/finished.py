"""What a finished run left, and a shipped model, read alike."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors.torch

from fakeface.models import checkpoints
from fakeface.models.backbones import BACKBONES, build
from fakeface.models.calibrate import Calibration
from fakeface.models.card import Card
from fakeface.models.engine import Model
from fakeface.models.preprocess import Preprocessing
from fakeface.types import FakefaceError
from train.training.run import BEST


def load_finished(folder: Path, device: str | None = None) -> Model:
    """The model of a folder, for PyTorch to run; that of a run is not calibrated yet.

    Raises:
        FakefaceError: it holds no finished run and no model.
    """
    if (folder / "card.json").exists():
        return checkpoints.load(folder.name, root=folder.parent, device=device, engine="torch")
    return load_run(folder, device)


def load_run(folder: Path, device: str | None = None) -> Model:
    """The best weights of a training run, not calibrated yet.

    Raises:
        FakefaceError: the folder holds no finished run.
    """
    recipe = json.loads(_read(folder, "run.json"))["recipe"]
    backbone = BACKBONES[recipe["backbone"]]
    weights = _read(folder, BEST)
    network = build(backbone.name)
    network.load_state_dict(safetensors.torch.load(weights))
    card = Card(
        name=folder.name,
        title=folder.name,
        backbone=backbone.name,
        preprocessing=Preprocessing(recipe["size"], recipe["margin"], backbone.mean, backbone.std),
        calibration=Calibration(1.0, 0.0, 1.0),
        sha256=hashlib.sha256(weights).hexdigest(),
    )
    return Model(card, network, device)


def describe_finished(folder: Path) -> dict[str, Any]:
    """How it was made: what run.json says of a run, and the card of a model.

    Raises:
        FakefaceError: the folder holds neither.
    """
    if (folder / "card.json").exists():
        return dict(checkpoints.read_card(folder).training)
    found: dict[str, Any] = json.loads(_read(folder, "run.json"))
    return found


def _read(folder: Path, name: str) -> bytes:
    """One of the files that a finished run leaves."""
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise FakefaceError(
            f"{folder} holds no finished run and no model; name another folder."
        ) from error
