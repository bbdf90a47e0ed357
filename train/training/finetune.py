"""Train a backbone by progressive unfreezing: `python -m train finetune RECIPE --data MANIFEST`.

Phase 1 fits the head to frozen features, as a logistic regression, unless the initial weights have
one already; each further phase of the recipe opens stages from the end. A run that was killed goes
on where it stood, and ends with the weights it would have had, when the same command is given
again; another recipe, other data or other initial weights are refused.

Several processes divide each batch among them: `accelerate launch -m train finetune RECIPE ...` for
several GPUs. On a CPU it is `accelerate launch --multi_gpu --num_processes 2 -m train finetune
RECIPE ... --device cpu`, since accelerate's own `--cpu` starts one process, whatever number is
given. Layers that normalise by the batch see the part of their process.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from fakeface.faces import Detector, open_detector
from fakeface.types import FakefaceError
from train.datasets import shards
from train.datasets.donors import Donors, Landmarker, find_landmarks
from train.datasets.faces import face_cache, find_faces
from train.datasets.records import Record, SourceError, check_groups, fingerprint, only
from train.datasets.sources import add_data_arguments, read_data, short
from train.training.distil import Member, Teacher
from train.training.finished import describe_finished, load_finished
from train.training.initialise import initialise
from train.training.loop import fit
from train.training.memory import keep_freed
from train.training.precision import PRECISIONS
from train.training.recipes import Recipe, load_recipe
from train.training.run import Run

log = logging.getLogger("train")


def teach(run: Run, folders: Sequence[Path]) -> Teacher:
    """Finished runs or models as the teacher of a run.

    Args:
        run: of the student.
        folders: of runs, or of models with a card, which says how their logits are read.

    Raises:
        FakefaceError: one of them holds neither.
    """
    models = [load_finished(folder, str(run.device)) for folder in folders]
    members = [Member(m.network, m.backbone, m.preprocessing.size, m.calibration) for m in models]
    return Teacher(members, run.model, run.backbone, run.recipe.hints)


def pick_detector(args: argparse.Namespace) -> tuple[Detector, Path]:
    """What finds the faces, and the folder of what was found before, which a packed set brings."""
    packed = Path(args.data[0])
    if len(args.data) == 1 and shards.is_packed(packed):
        return shards.Packed(packed), packed
    return open_detector(args.detector), Path("runs")


def find_donors(run: Run, detector: Detector, known: Path) -> Donors:
    """The photographs that a run learns from, as donors of faces.

    Args:
        run: whose they are.
        detector: that finds their landmarks.
        known: the folder of those that were found before.

    Raises:
        SourceError: the detector gives no landmarks.
    """
    if not isinstance(detector, Landmarker):
        raise SourceError(
            "This recipe lays one person's face over another's, by YuNet's landmarks; use "
            "--detector yunet."
        )
    photographs = [record for record in run.train if record.label == 0]
    cache = known / f"landmarks-{detector.name}.json"
    return Donors(photographs, find_landmarks(photographs, run.faces, detector, cache))


def describe(
    args: argparse.Namespace, recipe: Recipe, train: list[Record], accelerator: Accelerator
) -> dict[str, Any]:
    """What a run was, for the card of the model that comes of it; `after` is the run before it."""
    init = Path(args.init)
    before = _read_history(init.parent)
    return {
        "command": f"python -m train finetune {args.recipe} --data "
        + " ".join(short(spec) for spec in args.data)
        + f" --init {init if before else init.name}"
        + (f" --only {' '.join(args.only)}" if args.only else "")
        + (f" --teacher {' '.join(map(str, args.teacher))}" if args.teacher else "")
        + (f" --precision {args.precision}" if args.precision != "auto" else ""),
        "seed": recipe.seed,
        "recipe": dataclasses.asdict(recipe),
        "data": fingerprint(train),
        "pictures": len(train),
        "photographs": sum(r.label == 0 for r in train),
        "sources_of_photographs": len({r.source for r in train if r.label == 0}),
        "families_of_fakes": sorted({r.family for r in train if r.label}),
        "torch": torch.__version__,
        "device": str(accelerator.device),
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "after": before,
    }


def _read_history(folder: Path) -> dict[str, Any] | None:
    """How the weights in a folder were made: those of a run or of a model, or None."""
    try:
        return describe_finished(folder)
    except FakefaceError:
        return None


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipe", help="of train/training/recipes, or a file that holds a RECIPE")
    add_data_arguments(parser)
    parser.add_argument(
        "--init", default="pretrained", help="pretrained (default), random, or a safetensors file"
    )
    parser.add_argument("--only", nargs="+", metavar="SOURCE", help="learn from these alone")
    parser.add_argument(
        "--teacher",
        type=Path,
        nargs="+",
        help="folders of finished runs, or of models",
    )
    parser.add_argument("--run", type=Path, help="its folder (default: runs/RECIPE)")
    parser.add_argument("--workers", type=int, default=2, help="threads that read pictures")
    parser.add_argument(
        "--processes", type=int, default=0, help="that read them instead, for a GPU (default: 0)"
    )
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="stop then; the same command goes on later"
    )
    parser.add_argument("--device", choices=("cpu",), help="default: the GPU where there is one")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="auto", help="default: the faster one (auto)"
    )
    parser.add_argument("--detector", help="yunet, mtcnn or haar (default: the best at hand)")
    parser.add_argument("--save-every", type=float, default=120, help="seconds between saves")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        train(args)
    except FakefaceError as error:
        raise SystemExit(f"error: {error}") from error


def train(args: argparse.Namespace) -> None:
    """Do what the command line asks for.

    Raises:
        FakefaceError: it cannot be done; says why.
    """
    begun = time.monotonic()
    keep_freed()
    recipe = load_recipe(args.recipe)
    folder: Path = args.run or Path("runs") / Path(args.recipe).stem
    folder.mkdir(parents=True, exist_ok=True)
    records = [r for r in read_data(args) if r.split in ("train", "val")]
    if args.only:
        records = only(records, args.only)
    detector, known = pick_detector(args)
    faces = find_faces(records, detector, face_cache(detector, known))
    accelerator = Accelerator(cpu=args.device == "cpu")
    if accelerator.num_processes > 1 and args.minutes < math.inf:
        raise FakefaceError("Several GPUs would not stop at one step; leave --minutes out.")
    torch.manual_seed(recipe.seed)  # of layers that start at random
    run = Run(
        recipe, records, faces, folder, args.workers, accelerator, args.save_every,
        precision=args.precision, processes=args.processes, until=begun + 60 * args.minutes,
    )  # fmt: skip
    initialise(run.model, recipe.backbone, args.init)
    if recipe.swap_blends:
        run.donors = find_donors(run, detector, known)
    if args.teacher:
        run.teacher = teach(run, args.teacher)
    log.info(
        "train %d  val %d, of which %d to choose by  data %s  groups in more than one split: %d",
        len(run.train), sum(r.split == "val" and r.sha256 in faces for r in records),
        len(run.validation.records), fingerprint(records), check_groups(records),
    )  # fmt: skip
    log.info("%s", dataclasses.asdict(recipe))
    finished = run.is_finished()  # or it is another run, whose description must stay
    if accelerator.is_main_process and not finished:
        about = describe(args, recipe, run.train, accelerator)
        (folder / "run.json").write_text(json.dumps(about, indent=2))
    if not fit(run):
        log.info("stopped after %g minutes; the same command goes on", args.minutes)


if __name__ == "__main__":
    main()
