"""Training, evaluation and export of the models that fakeface ships: `python -m train COMMAND`.

`python -m train.finetune` and its like, the commands of 0.8.0, still work and say their new names.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

# Of each command: the module whose `main` it is, and what it does.
COMMANDS = {
    "sources": ("datasets.sources", "fetch a data set, and count it"),
    "eigenfaces": ("datasets.eigenfaces", "draw faces that belong to nobody, for tests"),
    "pack": ("datasets.pack", "put a data set into shards, to be carried"),
    "finetune": ("training.finetune", "train a recipe by progressive unfreezing"),
    "soup": ("training.soup", "average the weights of runs (model soup)"),
    "pieces": ("training.pieces", "cut a run's weights into small files, to be carried"),
    "net2net": ("training.net2net", "grow a ResNet-50 out of a trained ResNet-18"),
    "recalibrate": ("recalibrate", "fit a shipped model's thresholds to newer data"),
    "export": ("export", "calibrate a finished run, into checkpoints/"),
    "convert": ("convert", "write a shipped model for phones, browsers and other runtimes"),
    "out-of-distribution": (
        "evaluation.out_of_distribution",
        "note what known faces look like, to warn of others",
    ),
    "evaluate": ("evaluate", "measure a model"),
    "int8": ("evaluation.int8", "measure what int8 changes"),
    "shortcuts": (
        "evaluation.shortcuts",
        "measure what saves time, and allow what changes nothing",
    ),
    "pointing": ("evaluation.pointing", "measure the heatmap against a known mask"),
    "cross-dataset": ("reporting.cross_dataset", "measure runs that are not exported"),
    "leave-one-group-out": (
        "evaluation.leave_one_group_out",
        "measure each family with a model that never saw it",
    ),
    "ensemble": ("evaluation.ensemble", "measure the vote of the models"),
    "warned": ("evaluation.warned", "measure whom the answer warns of"),
    "crowds": ("evaluation.crowds", "measure how often groups of people are flagged"),
    "metadata-baseline": ("evaluation.metadata_baseline", "measure what metadata alone can tell"),
    "linear-probe": ("evaluation.linear_probe", "measure what frozen features can tell"),
    "results": ("reporting.results", "write the tables of the documents"),
}

# The modules of 0.8.0 that have moved, and the commands that they are now.
MOVED = {
    "average": "soup",
    "baseline": "metadata-baseline",
    "eigenfaces": "eigenfaces",
    "finetune": "finetune",
    "lofo": "leave-one-group-out",
    "matrix": "cross-dataset",
    "pointing": "pointing",
    "probe": "linear-probe",
    "reference": "out-of-distribution",
    "results": "results",
    "sources": "sources",
    "together": "ensemble",
    "widen": "net2net",
}


class _Moved:
    """Finds a module of 0.8.0 at its new place."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, old = name.partition(".")
        if package != __name__ or old not in MOVED:
            return None
        module, _ = COMMANDS[MOVED[old]]
        warnings.warn(
            f"{name} will go in 0.11.0; run `python -m train {MOVED[old]}` in its place, or import "
            f"train.{module}.",
            stacklevel=2,
        )
        found = importlib.util.find_spec(f"{__name__}.{module}")
        return importlib.util.spec_from_file_location(name, found.origin) if found else None


sys.meta_path.append(_Moved())
