"""`python -m train COMMAND ...`: one table of all commands."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "sources": ("datasets.sources", "fetch a data set, and count it"),
    "finetune": ("training.finetune", "train a recipe by progressive unfreezing"),
    "soup": ("training.soup", "the mean of the weights of runs"),
    "net2net": ("training.net2net", "a ResNet-50 that starts as a trained ResNet-18"),
    "export": ("export", "a finished run into checkpoints/"),
    "out-of-distribution": ("evaluation.out_of_distribution", "what a model learnt from, in short"),
    "evaluate": ("evaluate", "measure a model"),
    "pointing": ("evaluation.pointing", "the heatmap against a known mask"),
    "cross-dataset": ("reporting.cross_dataset", "runs that are not exported, on every set"),
    "leave-one-group-out": ("evaluation.leave_one_group_out", "without each family in turn"),
    "ensemble": ("evaluation.ensemble", "what the models say together"),
    "metadata-baseline": ("evaluation.metadata_baseline", "what metadata alone can tell"),
    "linear-probe": ("evaluation.linear_probe", "what frozen features can tell"),
    "results": ("reporting.results", "the tables of the documents"),
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
    importlib.import_module(f"train.{COMMANDS[name][0]}").main(arguments[1:])


if __name__ == "__main__":
    main()
