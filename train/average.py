"""The mean of the weights of finished runs: `python -m train.average RUN RUN ... --out RUN`.

Of runs of which one went on from the other, the mean often holds better than either on pictures
unlike those trained on (Wortsman et al., "Robust Fine-Tuning of Zero-Shot Models", CVPR 2022, and
"Model Soups", ICML 2022). It costs no training, and nothing at inference.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch

from fakeface.types import CheckpointMismatch


def average(states: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
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
    parser.add_argument("runs", type=Path, nargs="+", help="folders; the last one's recipe is told")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the mean")
    args = parser.parse_args(argv)

    weights = [safetensors.torch.load_file(run / "best.safetensors") for run in args.runs]
    told = [json.loads((run / "run.json").read_text()) for run in args.runs]
    seen = {(t["recipe"]["backbone"], t["recipe"]["size"], t["recipe"]["margin"]) for t in told}
    if len(seen) > 1:
        parser.error("these runs look at faces in different ways; average runs of one kind")
    mean = average(weights)
    args.out.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(mean, args.out / "best.safetensors")
    names = " ".join(str(run) for run in args.runs)
    command = f"python -m train.average {names} --out {args.out}"
    about = {**told[-1], "command": command, "after": told[-1]}
    (args.out / "run.json").write_text(json.dumps(about, indent=2))
    shutil.copyfile(args.runs[-1] / "log.csv", args.out / "log.csv")


if __name__ == "__main__":
    main()
