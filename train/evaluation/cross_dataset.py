"""Training data against test sets: `python -m train.matrix --data SPEC --runs runs/A runs/B`.

Measures training runs that are not shipped, such as a model of one pair of sources alone, on every
set, and prints the matrix of all that is stored: shipped models, experiments and baselines.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fakeface.models.checkpoints import checkpoints_root
from train.datasets.sets import SETS
from train.evaluation import evaluate
from train.reporting.results import matrix, stored


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help. Other options are those of train.evaluate."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="folders of runs/")
    parser.add_argument(
        "--sets", nargs="+", choices=SETS, default=[s for s in SETS if s != "wilddeepfake"]
    )
    args, others = parser.parse_known_args(argv)
    for run in args.runs:
        evaluate.main(["--run", str(run), "--sets", *args.sets, *others])
    print(matrix(stored(checkpoints_root())))


if __name__ == "__main__":
    main()
