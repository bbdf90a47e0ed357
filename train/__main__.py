"""`python -m train COMMAND ...`: one table of all commands."""

from __future__ import annotations

import importlib
import sys

from fakeface.secrets import redact, redact_errors
from fakeface.types import FakefaceError

COMMANDS = {
    "sources": ("datasets.sources", "fetch a data set, and count it"),
    "finetune": ("training.finetune", "train a recipe by progressive unfreezing"),
    "soup": ("training.soup", "average the weights of runs (model soup)"),
    "net2net": ("training.net2net", "grow a ResNet-50 out of a trained ResNet-18"),
    "export": ("export", "calibrate a finished run, into checkpoints/"),
    "convert": ("convert", "write a shipped model for phones, browsers and other runtimes"),
    "out-of-distribution": (
        "evaluation.out_of_distribution",
        "note what known faces look like, to warn of others",
    ),
    "evaluate": ("evaluate", "measure a model"),
    "pointing": ("evaluation.pointing", "measure the heatmap against a known mask"),
    "cross-dataset": (
        "reporting.cross_dataset",
        "measure runs that are not exported",
    ),
    "leave-one-group-out": (
        "evaluation.leave_one_group_out",
        "measure each family with a model that never saw it",
    ),
    "ensemble": ("evaluation.ensemble", "measure the vote of the models"),
    "metadata-baseline": ("evaluation.metadata_baseline", "measure what metadata alone can tell"),
    "linear-probe": ("evaluation.linear_probe", "measure what frozen features can tell"),
    "results": ("reporting.results", "write the tables of the documents"),
}


def main(argv: list[str] | None = None) -> None:
    """Run one command; without one, list them."""
    arguments = sys.argv[1:] if argv is None else argv
    name = arguments[0] if arguments else "--help"
    if name not in COMMANDS:
        print("usage: python -m train COMMAND ...; see also python -m train COMMAND --help\n")
        for known, (_, purpose) in COMMANDS.items():
            print(f"  {known:20} {purpose}")
        sys.exit(0 if name in ("-h", "--help") else f"\nThere is no command {name!r}.")
    redact_errors()
    sys.argv[0] = f"python -m train {name}"  # as the command's own help calls it
    try:
        importlib.import_module(f"train.{COMMANDS[name][0]}").main(arguments[1:])
    except FakefaceError as error:
        sys.exit(redact(f"error: {error}"))


if __name__ == "__main__":
    main()
