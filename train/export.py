"""A finished run -> `checkpoints/NAME`: `python -m train.export RECIPE --data MANIFEST`.

Temperature and thresholds are fitted here, on val alone, to the fp16 weights that are shipped, and
so is an offset of the logits, which goes into the bias of the head.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import safetensors.torch
from torch import nn

from fakeface.faces import open_detector
from fakeface.models import checkpoints
from fakeface.models.backbones import BACKBONES, build
from fakeface.models.calibrate import Calibration
from fakeface.models.preprocess import Preprocessing
from train.datasets.faces import find_faces
from train.datasets.sets import choose
from train.datasets.sources import add_data_arguments, read_data
from train.evaluation.evaluate import FLAGGED, MISSED, calibrate
from train.evaluation.metrics import fit_offset
from train.evaluation.scores import predict
from train.training.finetune import load_recipe

LICENCE = "Apache-2.0"
TERMS = (
    "Trained on a pool of photographs and generated faces from public sources, most of them under "
    "research or non-commercial terms and some with none stated; whoever uses the weights must "
    "judge whether that suits the purpose."
)


def shift(network: nn.Module, backbone: str, offset: float) -> float:
    """Add to the bias of the head, in the half precision that is shipped.

    Returns:
        By how much the logits really changed.
    """
    bias = network.get_submodule(BACKBONES[backbone].head).get_parameter("bias").detach()
    before = bias.item()
    bias.add_(offset).copy_(bias.half())
    return bias.item() - before


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipe", help="a file of train/recipes, without .py")
    add_data_arguments(parser)
    parser.add_argument("--run", type=Path, help="the run's folder (default runs/RECIPE)")
    parser.add_argument("--name", help="of the checkpoint (default: the backbone's)")
    parser.add_argument("--detector", help="yunet or haar (default: the best at hand)")
    args = parser.parse_args(argv)

    recipe = load_recipe(args.recipe)
    backbone = BACKBONES[recipe.backbone]
    folder = args.run or Path("runs") / args.recipe
    network = build(recipe.backbone)
    path = folder / "best.safetensors"
    # Half precision first: what is calibrated is what is shipped.
    state = {k: v.half().to(v.dtype) for k, v in safetensors.torch.load_file(path).items()}
    network.load_state_dict(state)
    records = read_data(args)
    run = json.loads((folder / "run.json").read_text())
    card = checkpoints.Card(
        name=args.name or recipe.backbone,
        title=backbone.title,
        backbone=recipe.backbone,
        preprocessing=Preprocessing(recipe.size, recipe.margin, backbone.mean, backbone.std),
        calibration=Calibration(1.0, 0.0, 1.0),
        training={
            **run,
            "summary": (
                f"It learnt from {run['pictures']} pictures: {run['photographs']} photographs from "
                f"{run['sources_of_photographs']} sources, and fakes of the families "
                f"{', '.join(run['families_of_fakes']).replace('_', ' ')}."
            ),
            "calibration": {
                "command": f"python -m train.export {args.recipe} --data MANIFEST"
                + (f" --run {args.run}" if args.run else ""),
                "data": "photographs, and generated and edited faces of the val split",
                "photographs_flagged": FLAGGED,
                "fakes_called_real": MISSED,
            },
        },
        metrics={},
        licence=LICENCE,
        terms=TERMS,
        sha256="",
    )
    root = checkpoints.checkpoints_root()
    checkpoints.save(root / card.name, network, card)

    model = checkpoints.load(card.name)
    val = choose(records, "val")
    detector = open_detector(args.detector)
    faces = find_faces(val, detector, Path("runs") / f"faces-{detector.name}.json")
    val, logits = predict(model, val, faces)
    labels = np.array([r.label for r in val])
    logits = logits + shift(network, recipe.backbone, fit_offset(labels, logits))
    calibration = calibrate(labels, logits)
    card = checkpoints.save(
        root / card.name, network, dataclasses.replace(card, calibration=calibration)
    )
    shutil.copyfile(folder / "log.csv", root / card.name / "training.csv")
    print(f"{root / card.name}: {calibration}")


if __name__ == "__main__":
    main()
