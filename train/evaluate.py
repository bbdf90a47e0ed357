"""Measure a model: `python -m train evaluate NAME --data MANIFEST`.

Faces are found and made into tensors by the functions that serve users. What is measured goes into
checkpoints/NAME/metrics.json, its gist into card.json, plots into checkpoints/NAME/plots; the
scores of every picture and a page of the worst mistakes stay in runs/, outside the repository.
With --run a training run is measured that was not exported, and goes into
results/cross_dataset/NAME.json.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path

from fakeface.faces import open_detector
from fakeface.models import checkpoints
from train.datasets.sets import SETS
from train.datasets.sources import add_data_arguments, read_data
from train.evaluation.evaluation import Evaluation, pick_gist
from train.evaluation.runs import measure_run
from train.evaluation.scored import Scored
from train.evaluation.store import read_json, write_json
from train.reporting import plots


def measure_model(args: argparse.Namespace) -> None:
    """Measure a model of checkpoints/, and write its results and plots."""
    folder = checkpoints.checkpoints_root() / args.name
    records = read_data(args)
    model = checkpoints.load(args.name)
    evaluation = Evaluation(model, records, open_detector(args.detector), model.calibration)
    results, scored = evaluation.measure_sets(
        args.sets, subject=args.name, reencode=args.reencode, stability=args.stability
    )
    path = folder / "metrics.json"
    known = read_json(path)
    if evaluation.detector.name == "haar":
        write_json(path, {**known, "haar": results})
        checkpoints.write_card(folder, model.card)  # which names the checksum of metrics.json
        return
    names = plots.draw(scored, folder / "plots", model.card.title)
    results["plots"] = [f"plots/{name}" for name in names]
    write_json(path, {**results, **({"haar": known["haar"]} if "haar" in known else {})})
    gist = pick_gist(read_json(path))  # rounded as it is there
    gist.pop("haar", None)
    checkpoints.write_card(folder, dataclasses.replace(model.card, metrics=gist))
    draw_mistakes(evaluation, scored)


def draw_mistakes(evaluation: Evaluation, scored: Mapping[str, Scored]) -> None:
    """A page of the worst mistakes on each set, into runs/mistakes."""
    for name, found in scored.items():
        page = Path("runs") / "mistakes" / f"{evaluation.model.name}-{name}.png"
        plots.draw_mistakes(found, evaluation.faces(found.records), page)
        print(f"{page}: the worst mistakes on {name}, which do not belong in the repository")


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", nargs="?", help="a folder of checkpoints/")
    parser.add_argument("--run", type=Path, help="a folder of runs/ instead, not exported")
    parser.add_argument("--title", help="of that run, in the tables (default: its name)")
    add_data_arguments(parser)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["val"], help="default: val")
    parser.add_argument("--reencode", action="store_true", help="measure the test set re-encoded")
    parser.add_argument(
        "--stability", action="store_true", help="measure every set with the stability check"
    )
    parser.add_argument("--detector", help="yunet, mtcnn or haar (default: the best at hand)")
    args = parser.parse_args(argv)
    if (args.name is None) == (args.run is None):
        parser.error("give the name of a model, or --run and the folder of a training run")
    if args.run:
        measure_run(
            args.run, read_data(args), open_detector(args.detector), args.sets,
            title=args.title, reencode=args.reencode, stability=args.stability,
        )  # fmt: skip
    else:
        measure_model(args)


if __name__ == "__main__":
    main()
