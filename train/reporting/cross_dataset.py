"""Training data against test sets: `python -m train cross-dataset --data SPEC --runs RUN ...`.

Measures training runs that are not shipped, such as a model of one pair of sources alone, on every
set, and prints the table of all that is stored: shipped models, such runs and baselines.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fakeface.faces import open_detector
from train.datasets.sets import SETS
from train.datasets.sources import add_data_arguments, read_data
from train.evaluation.runs import measure_run
from train.reporting.stored import read_stored
from train.reporting.tables import cross_dataset_table


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_data_arguments(parser)
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="folders of runs/")
    parser.add_argument(
        "--sets", nargs="+", choices=SETS, default=[s for s in SETS if s != "wilddeepfake"]
    )
    parser.add_argument("--detector", help="yunet, mtcnn or haar (default: the best at hand)")
    args = parser.parse_args(argv)
    if args.runs:
        records, detector = read_data(args), open_detector(args.detector)
        for run in args.runs:
            measure_run(run, records, detector, args.sets)
    print(cross_dataset_table(read_stored()))


if __name__ == "__main__":
    main()
