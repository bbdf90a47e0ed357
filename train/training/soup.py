"""The mean of the weights of runs: `python -m train soup RUN RUN ... --data SPEC --out RUN`.

A model that is shipped may stand for a run, but not as the last of them.

Of runs of which one went on from the other, the mean often holds better than either on pictures
unlike those trained on (Wortsman et al., "Robust Fine-Tuning of Zero-Shot Models", CVPR 2022, and
"Model Soups", ICML 2022). It costs no training, and nothing at inference. Whether it does so is
measured on val, as each epoch of a run is, and logged.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch
from accelerate import Accelerator

from fakeface.faces import open_detector
from fakeface.types import CheckpointMismatch
from train.datasets.faces import face_cache, find_faces
from train.datasets.sources import add_data_arguments, read_data, short
from train.training.finished import describe_finished, load_finished
from train.training.recipes import Recipe, complete
from train.training.run import BEST, Run

# What of a recipe decides how a network is judged.
_JUDGED = ("backbone", "size", "margin", "batch", "blend_share")


def mix_weights(states: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The mean of each floating-point tensor; of the others, the last one's.

    Raises:
        CheckpointMismatch: the tensors are not those of one network.
    """
    last = states[-1]
    shapes = {name: tensor.shape for name, tensor in last.items()}
    if any({n: t.shape for n, t in state.items()} != shapes for state in states):
        raise CheckpointMismatch("These runs trained different networks; average runs of one kind.")
    return {
        name: torch.stack([state[name] for state in states]).mean(0)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in last.items()
    }


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "runs",
        type=Path,
        nargs="+",
        help="folders of runs or models; the last one's recipe is told",
    )
    add_data_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="the folder of the mean")
    parser.add_argument("--detector", help="yunet, mtcnn or haar (default: the best at hand)")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")

    weights = [load_finished(run, "cpu").network.state_dict() for run in args.runs]
    told = [describe_finished(run) for run in args.runs]
    # Runs of one backbone may have grown in size; the mean looks at faces as the last of them did.
    seen = {(t["recipe"]["backbone"], t["recipe"]["margin"]) for t in told}
    if len(seen) > 1:
        parser.error("these runs look at faces in different ways; average runs of one kind")
    mean = mix_weights(weights)
    records = [record for record in read_data(args) if record.split == "val"]
    args.out.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(mean, args.out / BEST)
    names = " ".join(str(run) for run in args.runs)
    data = " ".join(short(spec) for spec in args.data)
    command = f"python -m train soup {names} --data {data} --out {args.out}"
    about = {**told[-1], "command": command, "after": told[-1]}
    (args.out / "run.json").write_text(json.dumps(about, indent=2))
    shutil.copyfile(args.runs[-1] / "log.csv", args.out / "log.csv")

    detector = open_detector(args.detector)
    faces = find_faces(records, detector, face_cache(detector))
    written = complete(about["recipe"])
    recipe = Recipe(phases=(), **{name: written[name] for name in _JUDGED})
    run = Run(recipe, records, faces, args.out, 2, Accelerator(), math.inf)
    run.average.module.load_state_dict(mean)
    run.judge("mean of the weights", math.nan, 0.0, time.monotonic())
    run.journal.close()


if __name__ == "__main__":
    main()
