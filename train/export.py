"""A finished run -> `checkpoints/NAME`: `python -m train export RECIPE --data MANIFEST`.

Offset, temperature and thresholds are fitted here, on the calibration part of val alone, to the
fp16 weights that are shipped; the weights themselves stay as they were trained. Nothing is written
before all is known, and a kill at any moment leaves the old model or the new one.

With --format it is `python -m train convert`, which writes a shipped model for another runtime.
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
from pathlib import Path

import safetensors.torch

from fakeface.faces import open_detector
from fakeface.files import write_atomically
from fakeface.models import checkpoints
from fakeface.models.backbones import BACKBONES, build
from fakeface.models.calibrate import Calibration
from fakeface.models.card import Card
from fakeface.models.engine import Model
from fakeface.models.preprocess import Preprocessing
from train import convert
from train.datasets.sources import add_data_arguments, read_data
from train.recalibrate import fit_calibration
from train.training.recipes import Recipe, load_recipe

LICENCE = "Apache-2.0"
TERMS = (
    "Trained on a pool of photographs and generated faces from public sources, most of them under "
    "research or non-commercial terms and some with none stated; whoever uses the weights must "
    "judge whether that suits the purpose."
)


def load_halved(recipe: Recipe, run: Path, name: str) -> Model:
    """The best weights of a run in the half precision that is shipped, not calibrated yet.

    Args:
        recipe: of the run.
        run: its folder.
        name: of the checkpoint.
    """
    backbone = BACKBONES[recipe.backbone]
    network = build(recipe.backbone)
    weights = safetensors.torch.load_file(run / "best.safetensors")
    network.load_state_dict({k: v.half().to(v.dtype) for k, v in weights.items()})
    training = json.loads((run / "run.json").read_text())
    families = ", ".join(training["families_of_fakes"]).replace("_", " ")
    training["summary"] = (
        f"It learnt from {training['pictures']} pictures: {training['photographs']} photographs "
        f"from {training['sources_of_photographs']} sources, and fakes of the families {families}."
    )
    card = Card(
        name=name,
        title=backbone.title,
        backbone=recipe.backbone,
        preprocessing=Preprocessing(recipe.size, recipe.margin, backbone.mean, backbone.std),
        calibration=Calibration(1.0, 0.0, 1.0),
        training=training,
        licence=LICENCE,
        terms=TERMS,
    )
    return Model(card, network)


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    given = sys.argv[1:] if argv is None else argv
    if any(word.partition("=")[0] == "--format" for word in given):
        convert.main(given)
        return
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        epilog="With --model NAME --format FORMAT, a shipped model is written for another runtime: "
        "see `python -m train convert --help`.",
    )
    parser.add_argument("recipe", help="a file of train/training/recipes, without .py")
    add_data_arguments(parser)
    parser.add_argument("--run", type=Path, help="the run's folder (default runs/RECIPE)")
    parser.add_argument("--name", help="of the checkpoint (default: the backbone's)")
    parser.add_argument("--detector", help="yunet, mtcnn or haar (default: the best at hand)")
    args = parser.parse_args(given)

    recipe = load_recipe(args.recipe)
    run = args.run or Path("runs") / args.recipe
    log = (run / "log.csv").read_bytes()
    model = load_halved(recipe, run, args.name or recipe.backbone)
    command = f"python -m train export {args.recipe} --data MANIFEST"
    command += f" --run {args.run}" if args.run else ""
    card = fit_calibration(model, read_data(args), open_detector(args.detector), command)

    folder = checkpoints.checkpoints_root() / card.name
    for stale in ("metrics.json", "pointing.json"):  # of other weights
        (folder / stale).unlink(missing_ok=True)
    checkpoints.save(folder, model.network, card)
    write_atomically(folder / "training.csv", log)
    print(f"{folder}: {card.calibration}")


if __name__ == "__main__":
    sys.argv.insert(1, "export")
    runpy.run_module("train", run_name="__main__")  # where errors become sentences
