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

# Where the modules of 0.8.0 lie now; to be deleted after 0.9.
MOVED = {
    "average": "training.soup",
    "baseline": "evaluation.metadata_baseline",
    "eigenfaces": "datasets.eigenfaces",
    "finetune": "training.finetune",
    "lofo": "evaluation.leave_one_group_out",
    "matrix": "reporting.cross_dataset",
    "pointing": "evaluation.pointing",
    "probe": "evaluation.linear_probe",
    "reference": "evaluation.out_of_distribution",
    "results": "reporting.results",
    "sources": "datasets.sources",
    "together": "evaluation.ensemble",
    "widen": "training.net2net",
}


class _Moved:
    """Finds a module of 0.8.0 at its new place."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, old = name.partition(".")
        if package != __name__ or old not in MOVED:
            return None
        new = f"{__name__}.{MOVED[old]}"
        warnings.warn(f"{name} is {new} now; 0.9 is the last to know the old name", stacklevel=2)
        found = importlib.util.find_spec(new)
        return importlib.util.spec_from_file_location(name, found.origin) if found else None


sys.meta_path.append(_Moved())
