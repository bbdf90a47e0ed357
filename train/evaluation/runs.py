"""Training runs that are not exported, as models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch

from fakeface.faces import Detector
from fakeface.models.backbones import BACKBONES, build
from fakeface.models.calibrate import Calibration
from fakeface.models.card import Card
from fakeface.models.engine import Model
from fakeface.models.preprocess import Preprocessing
from train.datasets.records import Record
from train.evaluation.evaluation import Evaluation
from train.evaluation.store import RESULTS, write_json


def load_run(folder: Path, device: str | None = None) -> Model:
    """The best weights of a training run, not calibrated yet."""
    recipe = json.loads((folder / "run.json").read_text())["recipe"]
    backbone = BACKBONES[recipe["backbone"]]
    weights = (folder / "best.safetensors").read_bytes()
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


def describe_run(folder: Path, title: str | None) -> dict[str, Any]:
    """What a run learnt from, for the table of data sets against each other."""
    run = json.loads((folder / "run.json").read_text())
    keys = ("command", "data", "pictures", "photographs", "families_of_fakes")
    return {
        "title": title or folder.name,
        "backbone": run["recipe"]["backbone"],
        "training": {key: run[key] for key in keys},
    }


def measure_run(
    folder: Path,
    records: Sequence[Record],
    detector: Detector,
    names: Sequence[str],
    *,
    title: str | None = None,
    reencode: bool = False,
    stability: bool = False,
) -> None:
    """Measure a run, calibrated by itself, and write results/cross_dataset/NAME.json.

    Args:
        folder: of the run; its name is that of the results.
        records: see `Evaluation`.
        detector: see `Evaluation`.
        names: see `Evaluation.measure_sets`.
        title: of the run in the tables.
        reencode: see `Evaluation.measure_sets`.
        stability: see `Evaluation.measure_sets`.
    """
    results, _ = Evaluation(load_run(folder), records, detector, None).measure_sets(
        names, subject=f"--run {folder}", reencode=reencode, stability=stability
    )
    path = RESULTS / "cross_dataset" / f"{folder.name}.json"
    write_json(path, {**describe_run(folder, title), **results})
