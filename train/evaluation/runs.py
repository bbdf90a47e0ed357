"""Training runs that are not exported, as models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fakeface.faces import Detector
from train.datasets.records import Record
from train.evaluation.evaluation import Evaluation
from train.evaluation.store import RESULTS, write_json
from train.training.finished import describe_finished, load_run


def describe_run(folder: Path, title: str | None) -> dict[str, Any]:
    """What a run learnt from, for the table of data sets against each other."""
    run = describe_finished(folder)
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
