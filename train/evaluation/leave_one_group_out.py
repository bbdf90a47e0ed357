"""Leave one family out: `python -m train.lofo RECIPE --data SPEC`.

For each family of fakes and of photographs in turn, the recipe is trained without it and then
measured on its test pictures: for fakes, the AUC against the test photographs; for photographs, the
share flagged at the threshold that flags 2 % of the known ones on val. Families that are done are
kept in checkpoints/lofo/RECIPE.json, and a run that was killed goes on where it stood. With --probe
WEIGHTS a linear probe of frozen features is trained in place of the recipe, which takes minutes.
With --set FIELD=VALUE an idea is measured against the recipe without it, and with --also SPEC what
further pictures bring.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from sklearn.metrics import roc_auc_score

from fakeface.faces import open_detector
from fakeface.models.backbones import BACKBONES
from train.datasets.faces import Faces, find_faces
from train.datasets.records import without_swaps
from train.datasets.sets import choose
from train.datasets.sources import (
    Record,
    SourceError,
    add_data_arguments,
    fingerprint,
    read_data,
    short,
)
from train.evaluation.evaluate import FLAGGED, SEED, load_run
from train.evaluation.linear_probe import Probe, add_probe_arguments
from train.evaluation.metrics import Array, auc_interval, wilson
from train.evaluation.scores import predict
from train.evaluation.store import read_json, rounded, write_json
from train.training.finetune import Run, initialise, load_recipe
from train.training.memory import keep_freed
from train.training.recipes import Recipe, changed, complete

# Trains on the records of train and val it is given; returns what scores others.
Train = Callable[[Sequence[Record], str], Callable[[Sequence[Record]], Array]]


def families(records: Sequence[Record]) -> list[tuple[int, str]]:
    """Label and name of every family that is trained on and tested, fakes first."""
    parts = ({(r.label, r.family) for r in records if r.split == s} for s in ("train", "test"))
    return sorted(set.intersection(*parts), key=lambda pair: (-pair[0], pair[1]))


def leave_out(records: Sequence[Record], label: int, family: str, train: Train) -> dict[str, Any]:
    """Train without one family, and measure on it and, on val, on the known ones.

    Args:
        records: with a face, of train, val and test.
        label: 1 for a family of fakes, 0 for one of photographs.
        train: see `Train`.

    Returns:
        kind, auc and caught of fakes or flagged of photographs, and known, the AUC on val without
        swaps; shares as `metrics.wilson` gives them.
    """

    def left_out(record: Record) -> bool:
        return (record.label, record.family) == (label, family)

    held = [r for r in records if r.split == "test" and left_out(r)]
    if not held:
        raise SourceError(f"The family {family} has no test pictures; name others by --families.")
    known = [r for r in records if r.split in ("train", "val") and not left_out(r)]
    score = train(known, family)
    val = without_swaps([r for r in known if r.split == "val"])
    on_val, truth = score(val), np.array([r.label for r in val])
    # As for the shipped thresholds: this share of the known photographs lies above.
    threshold = float(np.quantile(on_val[truth == 0], 1 - FLAGGED, method="higher"))
    of_known = {"known": float(roc_auc_score(truth, on_val))}
    if not label:
        flagged = wilson(int((score(held) > threshold).sum()), len(held))
        return {"kind": "photographs", "flagged": flagged, **of_known}
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
        "caught": wilson(int((logits[labels == 1] > threshold).sum()), len(held)),
        "photographs": len(against),
        **of_known,
    }


def by_recipe(recipe: Recipe, faces: Faces, folder: Path, init: str, device: str | None) -> Train:
    """Training by a recipe, each family in a folder of its own, where a killed run goes on."""

    def train(known: Sequence[Record], family: str) -> Callable[[Sequence[Record]], Array]:
        place = folder / family
        place.mkdir(parents=True, exist_ok=True)
        write_json(place / "run.json", {"recipe": dataclasses.asdict(recipe)})
        torch.manual_seed(recipe.seed)
        accelerator = Accelerator(cpu=device == "cpu")
        run = Run(recipe, list(known), faces, place, 2, accelerator, 120.0)
        if not (place / "best.safetensors").exists():
            initialise(run.model, recipe.backbone, init)
            run.fit()
        model = load_run(place, device)
        return lambda records: predict(model, records, faces)[1]

    return train


def by_probe(probe: Probe, strength: float) -> Train:
    """Training as a linear probe of frozen features."""

    def train(known: Sequence[Record], family: str) -> Callable[[Sequence[Record]], Array]:
        return probe.fit([r for r in known if r.split == "train"], strength).logits

    return train


def summary(families: dict[str, Any]) -> dict[str, Any]:
    """Mean and worst over the families that are done, of each kind."""
    aucs = {f: r["auc"]["value"] for f, r in families.items() if r["kind"] == "fakes"}
    flagged = {f: r["flagged"]["value"] for f, r in families.items() if "flagged" in r}
    out: dict[str, Any] = {}
    if aucs:
        worst = min(aucs, key=lambda f: aucs[f])
        out["auc_mean"] = float(np.mean(list(aucs.values())))
        out["auc_worst"] = {"family": worst, "value": aucs[worst]}
    if flagged:
        worst = max(flagged, key=lambda f: flagged[f])
        out["flagged_worst"] = {"family": worst, "value": flagged[worst]}
    return out


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipe", nargs="?", help="a file of train/recipes, without .py")
    add_data_arguments(parser)
    add_probe_arguments(parser)
    parser.add_argument("--probe", type=Path, help="initial weights, for a probe instead")
    parser.add_argument("--init", default="pretrained", help="as of train.finetune")
    parser.add_argument("--families", nargs="+", help="only these (default: all)")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="FIELD=VALUE", help="change the recipe by this"
    )
    parser.add_argument(
        "--also", nargs="+", default=[], metavar="SPEC", help="further data, an idea of its own"
    )
    parser.add_argument("--device", choices=("cpu",), help="default: the GPU where there is one")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if (args.recipe is None) == (args.probe is None):
        parser.error("give a recipe, or --probe and initial weights")
    if args.probe and (args.set or args.also):
        parser.error("--set and --also change a recipe; a probe has none")

    keep_freed()
    args.data += args.also
    records = read_data(args)
    detector = open_detector(args.detector)
    cache = Path("runs") / f"faces-{detector.name}.json"
    wanted = [r for r in records if r.split in ("train", "val", "test")]
    faces = find_faces(wanted, detector, cache)
    usable = [r for r in wanted if r.sha256 in faces]
    if args.probe:
        name = f"probe-{args.backbone}"
        probe = Probe(args.backbone, args.probe, faces)
        val = choose(usable, "val")
        strength = probe.choose_strength([r for r in usable if r.split == "train"], val)
        train = by_probe(probe, strength)
        title, what = probe.title, {"strength": strength, "weights": args.probe.name}
        asked = f"--probe {args.probe.name} --backbone {args.backbone}"
    else:
        try:
            recipe = changed(load_recipe(args.recipe), args.set)
        except ValueError as wrong:
            parser.error(str(wrong))
        changes = [*args.set, *(f"also={short(spec)}" for spec in args.also)]
        name = re.sub(r"[^\w.=+-]+", "-", "+".join([args.recipe, *changes]))
        init = Path(args.init)
        train = by_recipe(recipe, faces, Path("runs") / "lofo" / name, args.init, args.device)
        title = f"{BACKBONES[recipe.backbone].title}, {args.recipe}"
        what = {"recipe": dataclasses.asdict(recipe), "init": init.name, "changes": changes}
        asked = f"{args.recipe} --init {init.name}"
        asked += f" --set {shlex.join(args.set)}" if args.set else ""
        asked += f" --also {' '.join(short(spec) for spec in args.also)}" if args.also else ""
    head = {
        "title": title,
        "data": fingerprint(wanted),
        "detector": detector.name,
        "training": what,
    }
    head = json.loads(json.dumps(rounded(head)))  # as it comes back from the file
    path = Path("checkpoints") / "lofo" / f"{name}.json"
    kept = read_json(path)
    if "recipe" in kept.get("training", {}):
        kept["training"]["recipe"] = complete(kept["training"]["recipe"])
    done = kept.get("families", {}) if all(kept.get(k) == v for k, v in head.items()) else {}
    everything = families(usable)
    for unknown in sorted(set(args.families or ()) - {family for _, family in everything}):
        parser.error(f"no family {unknown} is both trained on and tested; see the manifest")
    for label, family in everything:
        if family in done or (args.families and family not in args.families):
            continue
        done[family] = leave_out(usable, label, family, train)
        some = f" --families {' '.join(done)}" if len(done) < len(everything) else ""
        command = f"python -m train.lofo {asked} --data SPEC{some}"
        write_json(path, {"command": command, **head, "families": done, "summary": summary(done)})
        print(family, done[family], flush=True)


if __name__ == "__main__":
    main()
