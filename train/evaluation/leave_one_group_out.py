"""Leave one group out: `python -m train leave-one-group-out RECIPE --data SPEC`.

For each family of fakes and of photographs in turn, the recipe is trained without it and then
measured on its test pictures: for fakes, the AUC against the test photographs; for photographs, the
false positive rate at the threshold that gives 2 % on the known ones of the calibration part of
val. Fakes that were made from photographs that are left out are left out with them. Families that
are done are kept in results/leave_one_group_out/RECIPE.json, and a run that was killed goes on
where it stood; what was measured with other data, settings or initial weights is measured anew.
With --probe WEIGHTS a linear probe of frozen features is trained in place of the recipe, which
takes minutes. With --set FIELD=VALUE an idea is measured against the recipe without it, and with
--also SPEC what further pictures bring.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import logging
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from accelerate import Accelerator
from sklearn.metrics import roc_auc_score

from fakeface.faces import open_detector
from fakeface.models.backbones import BACKBONES
from train.datasets.faces import Faces, face_cache, find_faces
from train.datasets.records import Record, SourceError, fingerprint
from train.datasets.sets import choose
from train.datasets.sources import add_data_arguments, read_data, short
from train.evaluation.calibration import FALSE_POSITIVES
from train.evaluation.inference import predict
from train.evaluation.linear_probe import Probe, add_probe_arguments
from train.evaluation.measure import SEED
from train.evaluation.metrics import Array, auc_interval, wilson
from train.evaluation.store import RESULTS, read_json, round_numbers, write_json
from train.training.finished import load_run
from train.training.initialise import initialise
from train.training.loop import fit
from train.training.memory import keep_freed
from train.training.recipes import Recipe, change, complete, load_recipe
from train.training.run import Run

# Trains on the records of train and val it is given; returns what scores others.
Train = Callable[[Sequence[Record], str], Callable[[Sequence[Record]], Array]]

# What the numbers depend on beside data, recipe and weights. `measure` rises when what is left out
# or measured changes: 2 leaves out fakes with their photographs, and splits val.
SETTINGS: Final = {"measure": 2, "false_positives": FALSE_POSITIVES, "seed": SEED}


def families(records: Sequence[Record]) -> list[tuple[int, str]]:
    """Label and name of every family that is trained on and tested, fakes first."""
    parts = ({(r.label, r.family) for r in records if r.split == s} for s in ("train", "test"))
    return sorted(set.intersection(*parts), key=lambda pair: (-pair[0], pair[1]))


def split_family(
    records: Sequence[Record], label: int, family: str
) -> tuple[list[Record], list[Record]]:
    """The pictures of a family, and all others that show nothing of it.

    Fakes that were made from photographs of the family are in neither part: of the same group as
    one of them, such as a clip and its swap, or a swap of a source of them.

    Args:
        records: of every split.
        label: 1 for a family of fakes, 0 for one of photographs.
        family: its name.
    """
    own = [r for r in records if (r.label, r.family) == (label, family)]
    members = {r.sha256 for r in own}
    groups, sources = ({r.group for r in own}, {r.source for r in own}) if not label else ((), ())
    others = [
        r
        for r in records
        if r.sha256 not in members
        and not (r.label and (r.group in groups or (r.kind == "swap" and r.source in sources)))
    ]
    return own, others


def leave_out(records: Sequence[Record], label: int, family: str, train: Train) -> dict[str, Any]:
    """Train without one family, and measure on it and, on val, on the known ones.

    Args:
        records: with a face, of train, val and test.
        label: 1 for a family of fakes, 0 for one of photographs.
        family: its name.
        train: see `Train`.

    Returns:
        kind; auc and true_positive_rate of fakes, or false_positive_rate of photographs; and
        known, the AUC on the calibration part of val without swaps. Rates are as
        `metrics.wilson` gives them.
    """
    own, others = split_family(records, label, family)
    held = [r for r in own if r.split == "test"]
    if not held:
        raise SourceError(f"The family {family} has no test pictures; name others by --families.")
    known = [r for r in others if r.split in ("train", "val")]
    score = train(known, family)
    part = choose(known, "calibration")
    logits, truth = score(part), np.array([r.label for r in part])
    # As for the shipped thresholds: this share of the known photographs lies above.
    threshold = float(np.quantile(logits[truth == 0], 1 - FALSE_POSITIVES, method="higher"))
    of_known = {"known": float(roc_auc_score(truth, logits))}
    if not label:
        called = int((score(held) > threshold).sum())
        return {
            "kind": "photographs",
            "false_positive_rate": wilson(called, len(held)),
            **of_known,
        }
    against = [r for r in records if r.split == "test" and r.label == 0]
    swaps = held[0].kind == "swap"
    if swaps:  # swaps, against what they were made from
        sources = {r.source for r in held}
        against = [r for r in against if r.source in sources]
    both = [*held, *against]
    logits = score(both)
    labels = np.array([r.label for r in both])
    return {
        "kind": "swaps" if swaps else "fakes",
        "auc": auc_interval(labels, logits, [r.group for r in both], seed=SEED),
        "true_positive_rate": wilson(int((logits[labels == 1] > threshold).sum()), len(held)),
        "photographs": len(against),
        **of_known,
    }


def by_recipe(recipe: Recipe, faces: Faces, folder: Path, init: str, device: str | None) -> Train:
    """Training by a recipe.

    Each family has a folder of its own, where a killed run goes on. Its name tells the data, the
    recipe and the initial weights, so that no run goes on from another's.
    """

    def train(known: Sequence[Record], family: str) -> Callable[[Sequence[Record]], Array]:
        about = {
            "recipe": dataclasses.asdict(recipe),
            "data": fingerprint(known),
            "init": describe_weights(init),
        }
        identity = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
        place = folder / f"{family}-{identity}"
        write_json(place / "run.json", about)
        torch.manual_seed(recipe.seed)
        accelerator = Accelerator(cpu=device == "cpu")
        run = Run(recipe, list(known), faces, place, 2, accelerator, 120.0)
        initialise(run.model, recipe.backbone, init)
        if not run.is_finished():
            fit(run)
        model = load_run(place, device)
        return lambda records: predict(model, records, faces)[1]

    return train


def describe_weights(init: str | Path) -> str:
    """Initial weights by their name, and of a file the start of its sha256, too."""
    path = Path(init)
    if not path.is_file():
        return str(init)
    return f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


def by_probe(probe: Probe, strength: float) -> Train:
    """Training as a linear probe of frozen features."""

    def train(known: Sequence[Record], family: str) -> Callable[[Sequence[Record]], Array]:
        return probe.fit([r for r in known if r.split == "train"], strength).logits

    return train


def summarise(families: dict[str, Any]) -> dict[str, Any]:
    """Mean and worst over the families that are done, of each kind."""
    aucs = {f: r["auc"]["value"] for f, r in families.items() if r["kind"] == "fakes"}
    rates = {
        f: r["false_positive_rate"]["value"]
        for f, r in families.items()
        if r["kind"] == "photographs"
    }
    out: dict[str, Any] = {}
    if aucs:
        worst = min(aucs, key=lambda f: aucs[f])
        out["auc_mean"] = float(np.mean(list(aucs.values())))
        out["auc_worst"] = {"family": worst, "value": aucs[worst]}
    if rates:
        worst = max(rates, key=lambda f: rates[f])
        out["false_positive_rate_worst"] = {"family": worst, "value": rates[worst]}
    return out


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """What is trained without each family in turn.

    Attributes:
        name: of the file of results.
        title: for people.
        asked: the options that ask for it.
        training: all that its training depends on beside the data, for the file.
        train: see `Train`.
    """

    name: str
    title: str
    asked: str
    training: dict[str, Any]
    train: Train


def make_probe(args: argparse.Namespace, usable: Sequence[Record], faces: Faces) -> Candidate:
    """A linear probe, its strength chosen once with all families."""
    probe = Probe(args.backbone, args.probe, faces)
    known = [r for r in usable if r.split == "train"]
    strength = probe.choose_strength(known, choose(usable, "choice"))
    return Candidate(
        f"probe-{args.backbone}",
        probe.title,
        f"--probe {args.probe.name} --backbone {args.backbone}",
        {"strength": strength, "weights": describe_weights(args.probe)},
        by_probe(probe, strength),
    )


def make_recipe(args: argparse.Namespace, faces: Faces) -> Candidate:
    """A recipe, with the changes that are asked for.

    Raises:
        ValueError: a change is none of a recipe.
    """
    recipe = change(load_recipe(args.recipe), args.set)
    changes = [*args.set, *(f"also={short(spec)}" for spec in args.also)]
    name = re.sub(r"[^\w.=+-]+", "-", "+".join([args.recipe, *changes]))
    asked = f"{args.recipe} --init {Path(args.init).name}"
    asked += f" --set {shlex.join(args.set)}" if args.set else ""
    asked += f" --also {' '.join(short(spec) for spec in args.also)}" if args.also else ""
    return Candidate(
        name,
        f"{BACKBONES[recipe.backbone].title}, {args.recipe}",
        asked,
        {
            "recipe": dataclasses.asdict(recipe),
            "init": describe_weights(args.init),
            "changes": changes,
        },
        by_recipe(
            recipe, faces, Path("runs") / "leave_one_group_out" / name, args.init, args.device
        ),
    )


def read_done(path: Path, head: dict[str, Any]) -> dict[str, Any]:
    """The families in a file of results that were measured in the way that `head` tells."""
    kept = read_json(path)
    if "recipe" in kept.get("training", {}):
        kept["training"]["recipe"] = complete(kept["training"]["recipe"])
    wanted = json.loads(json.dumps(round_numbers(head)))  # as it comes back from the file
    if all(kept.get(key) == value for key, value in wanted.items()):
        done: dict[str, Any] = kept["families"]
        return done
    if kept:
        logging.getLogger("train").info(
            "%s was measured with other data or settings; measuring anew", path
        )
    return {}


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipe", nargs="?", help="a file of train/training/recipes, without .py")
    add_data_arguments(parser)
    add_probe_arguments(parser)
    parser.add_argument("--probe", type=Path, help="initial weights, for a probe instead")
    parser.add_argument("--init", default="pretrained", help="as of finetune")
    parser.add_argument("--families", nargs="+", help="only these (default: all)")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="FIELD=VALUE", help="change the recipe by this"
    )
    parser.add_argument(
        "--also", nargs="+", default=[], metavar="SPEC", help="further data, an idea of its own"
    )
    parser.add_argument("--device", choices=("cpu",), help="default: the GPU where there is one")
    return parser


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = make_parser()
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if (args.recipe is None) == (args.probe is None):
        parser.error("give a recipe, or --probe and initial weights")
    if args.probe and (args.set or args.also):
        parser.error("--set and --also change a recipe; a probe has none")

    keep_freed()
    args.data += args.also
    wanted = [r for r in read_data(args) if r.split in ("train", "val", "test")]
    detector = open_detector(args.detector)
    faces = find_faces(wanted, detector, face_cache(detector))
    usable = [r for r in wanted if r.sha256 in faces]
    everything = families(usable)
    for unknown in sorted(set(args.families or ()) - {family for _, family in everything}):
        parser.error(f"no family {unknown} is both trained on and tested; see the manifest")
    try:
        asked = make_probe(args, usable, faces) if args.probe else make_recipe(args, faces)
    except ValueError as wrong:
        parser.error(str(wrong))
    head = {
        "title": asked.title,
        "data": fingerprint(wanted),
        "detector": detector.name,
        "settings": SETTINGS,
        "training": asked.training,
    }
    path = RESULTS / "leave_one_group_out" / f"{asked.name}.json"
    done = read_done(path, head)
    for label, family in everything:
        if family in done or (args.families and family not in args.families):
            continue
        done[family] = leave_out(usable, label, family, asked.train)
        some = f" --families {' '.join(done)}" if len(done) < len(everything) else ""
        command = f"python -m train leave-one-group-out {asked.asked} --data SPEC{some}"
        write_json(path, {"command": command, **head, "families": done, "summary": summarise(done)})
        print(family, done[family], flush=True)


if __name__ == "__main__":
    main()
