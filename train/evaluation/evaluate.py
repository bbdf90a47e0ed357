"""Measure a model: `python -m train.evaluate NAME --data MANIFEST`.

Faces are found and made into tensors by the functions that serve users. What is measured goes into
checkpoints/NAME/metrics.json, its gist into card.json, plots into checkpoints/NAME/plots; the
scores of every picture and a page of the worst mistakes stay in runs/, outside the repository.
With --run a training run is measured that was not exported, and goes into
checkpoints/experiments/NAME.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from scipy.special import expit

from fakeface.faces import Detector, open_detector
from fakeface.models import checkpoints
from fakeface.models.backbones import BACKBONES, build
from fakeface.models.calibrate import Calibration
from fakeface.models.card import Card
from fakeface.models.engine import Model
from fakeface.models.preprocess import Preprocessing
from fakeface.stability import COPIES, Copy, at_most, reencode, scaled, variants
from fakeface.types import RGB, Box, Verdict
from train.datasets.faces import Faces, find_faces
from train.datasets.sets import SETS, check_classes, choose
from train.datasets.sources import Record, add_data_arguments, fingerprint, read_data
from train.evaluation.metrics import (
    Array,
    accuracy,
    auc_interval,
    balanced_accuracy,
    expected_calibration_error,
    fit_temperature,
    fit_thresholds,
    risk_coverage,
    thresholds_curve,
    tpr_at_fpr,
    wilson,
)
from train.evaluation.scores import CLEAN, Scores, View, score, scores_path
from train.evaluation.store import read_json, rounded, write_json
from train.reporting import plots

SEED = 0
FLAGGED, MISSED = 0.02, 0.05  # what the thresholds allow on val
TIERS: dict[str, Callable[[RGB], RGB]] = {
    "longest side at most 768 px, JPEG 60": lambda image: reencode(at_most(image, 768), 60),
    "longest side at most 512 px, JPEG 40": lambda image: reencode(at_most(image, 512), 40),
    "half the size": lambda image: scaled(image, 0.5),
    "twice the size": lambda image: scaled(image, 2.0),
}
HARDEST = "longest side at most 512 px, JPEG 40"
# What goes into card.json of each set; the rest is in metrics.json.
GIST = (
    "n_real", "n_fake", "no_face", "auc", "accuracy", "balanced_accuracy", "tpr_at_fpr_1",
    "tpr_at_fpr_5", "ece", "ece_uncalibrated", "verdicts_on_real", "verdicts_on_fake", "curve",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scored:
    """One set's pictures in which a face was found, and what a model says of them.

    Attributes:
        records: (N).
        logits: (N,).
        calibration: how they are read.
        copies: logits of the copies of the stability check, a (N,) array each with nan where there
            is none; empty where they were not scored.
    """

    records: Sequence[Record]
    logits: Array
    calibration: Calibration
    copies: tuple[Array, ...] = ()

    @property
    def labels(self) -> Array:
        """(N,) of 0 and 1."""
        return np.array([record.label for record in self.records])

    @property
    def p_fake(self) -> Array:
        """Calibrated, (N,)."""
        return expit(self.calibration.calibrate(self.logits))

    def verdicts(self, logits: Array | None = None) -> Array:
        """The verdict on each picture by itself, (N,), or by other logits of the same pictures."""
        own = self.logits if logits is None else logits
        how = self.calibration
        return np.array([how.verdict(how.probability(float(z))) for z in own], object)

    def settled(self) -> Array:
        """The verdicts after the stability check, (N,): see `fakeface.stability.settle`."""
        said = self.verdicts()
        out = said.copy()
        for logits in self.copies:
            out[flips(said, self.verdicts(logits))] = Verdict.UNSURE
        return out


def flips(before: Array, after: Array) -> Array:
    """Which verdicts turned to the other side, bool (N,); from or to unsure is no flip."""
    sides = {Verdict.FAKE, Verdict.REAL}
    return np.array([{a, b} == sides for a, b in zip(before, after)], bool)


def measure(scored: Scored, no_face: int = 0) -> dict[str, Any]:
    """Every number for one set."""
    labels, p_fake, records = scored.labels, scored.p_fake, scored.records
    said = scored.verdicts()
    coverage, risk = risk_coverage(labels, p_fake)
    out = {
        "n_real": int((labels == 0).sum()),
        "n_fake": int((labels == 1).sum()),
        "no_face": no_face,
        "auc": auc_interval(labels, p_fake, [r.group for r in records], seed=SEED),
        "accuracy": accuracy(labels, p_fake),
        "balanced_accuracy": balanced_accuracy(labels, p_fake),
        "tpr_at_fpr_1": tpr_at_fpr(labels, p_fake, 0.01),
        "tpr_at_fpr_5": tpr_at_fpr(labels, p_fake, 0.05),
        "ece": expected_calibration_error(labels, p_fake),
        "ece_uncalibrated": expected_calibration_error(labels, expit(scored.logits)),
        **shares(labels, said),
        "real_by_source": _called([r.source for r in records], labels == 0, said),
        "fake_by_source": _called([r.source for r in records], labels == 1, said),
        "fake_by_generator": _called([r.generator or r.source for r in records], labels == 1, said),
        "risk": {**answers(labels, said), "area": float(np.trapezoid(risk, coverage))},
    }
    if scored.copies:
        settled = scored.settled()
        out["settled"] = {
            **shares(labels, settled),
            "real_by_source": _called([r.source for r in records], labels == 0, settled),
            "fake_by_source": _called([r.source for r in records], labels == 1, settled),
            "became_unsure": float((settled != said).mean()),
        }
    if any(record.sequence for record in records):
        out["by_sequence"] = _by_sequence(scored)
    return out


def answers(labels: Array, said: Array) -> dict[str, float | None]:
    """The share of pictures that are answered at all, and of these the share answered wrongly."""
    answered = said != Verdict.UNSURE
    wrong = ((said == Verdict.FAKE) != (labels == 1))[answered]
    return {
        "coverage": float(answered.mean()),
        "wrong": float(wrong.mean()) if len(wrong) else None,
    }


def shares(labels: Array, said: Array) -> dict[str, Any]:
    """How often each verdict is given, on photographs and on fakes."""
    return {
        f"verdicts_on_{kind}": {str(v): float((said[labels == label] == v).mean()) for v in Verdict}
        for label, kind in ((0, "real"), (1, "fake"))
    }


def _called(names: Sequence[str], chosen: Array, said: Array) -> dict[str, Any]:
    """The share called AI-generated of the pictures of each name, among the chosen ones."""
    of = np.array(names)[chosen]
    called = (said == Verdict.FAKE)[chosen]
    return {
        name: wilson(int(called[of == name].sum()), int((of == name).sum()))
        for name in sorted(set(of))
    }


def _by_sequence(scored: Scored) -> dict[str, Any]:
    """The frames of a sequence judged together, by their mean logit."""
    keys = np.array([r.sequence or r.sha256 for r in scored.records])
    _, first, member = np.unique(keys, return_index=True, return_inverse=True)
    logits = np.bincount(member, scored.logits) / np.bincount(member)
    together = Scored([scored.records[i] for i in first], logits, scored.calibration)
    labels, p_fake = together.labels, together.p_fake
    return {
        "n_real": int((labels == 0).sum()),
        "n_fake": int((labels == 1).sum()),
        "auc": auc_interval(labels, p_fake, [r.group for r in together.records], seed=SEED),
        "accuracy": accuracy(labels, p_fake),
        "balanced_accuracy": balanced_accuracy(labels, p_fake),
    }


def reencoded(scored: Scored, scores: Scores) -> dict[str, Any]:
    """The same pictures after each of `TIERS`, against themselves before.

    flips compares verdicts on the picture by itself. flips_settled compares the verdict after the
    stability check with the verdict on the re-encoded picture by itself; as that can only become
    unsure by a check of its own, users see at most so many flips.
    """
    labels, before, settled = scored.labels, scored.verdicts(), scored.settled()
    groups = np.array([r.group for r in scored.records])
    out: dict[str, Any] = {}
    for name in TIERS:
        kept, logits = scores.of(scored.records, name)
        after = Scored(
            [r for r, k in zip(scored.records, kept) if k], logits[kept], scored.calibration
        )
        said = after.verdicts()
        out[name] = {
            "no_face": int((~kept).sum()),
            "auc": auc_interval(labels[kept], after.logits, groups[kept], seed=SEED),
            "auc_before": auc_interval(labels[kept], scored.logits[kept], groups[kept], seed=SEED),
            "accuracy": accuracy(labels[kept], after.p_fake),
            "accuracy_before": accuracy(labels[kept], scored.p_fake[kept]),
            "flips": float(flips(before[kept], said).mean()),
        }
        if scored.copies:
            out[name]["flips_settled"] = float(flips(settled[kept], said).mean())
    return out


def tier_view(change: Callable[[RGB], RGB]) -> View:
    """A changed picture, as if it had come so: its face is found anew."""
    return lambda image, _: (change(image), None)


def copy_view(copy: Copy, margin: float) -> View:
    """What the stability check makes of a picture."""

    def view(image: RGB, box: Box) -> tuple[RGB, Box | None]:
        ((small, (moved,)),) = variants(image, [box], margin, [copy])
        return small, moved

    return view


def calibrate(labels: Array, logits: Array) -> Calibration:
    """Temperature and thresholds, fitted to val."""
    temperature = fit_temperature(labels, logits)
    below, above = fit_thresholds(
        labels, expit(logits / temperature), flagged=FLAGGED, missed=MISSED
    )
    return Calibration(temperature, below, above)


def load_run(folder: Path, device: str | None = None) -> Model:
    """The best weights of a training run, not calibrated yet."""
    recipe = json.loads((folder / "run.json").read_text())["recipe"]
    backbone = BACKBONES[recipe["backbone"]]
    weights = (folder / "best.safetensors").read_bytes()
    network = build(backbone.name)
    network.load_state_dict(safetensors.torch.load(weights))
    card = Card(
        name=folder.name,
        title=folder.name,
        backbone=backbone.name,
        preprocessing=Preprocessing(recipe["size"], recipe["margin"], backbone.mean, backbone.std),
        calibration=Calibration(1.0, 0.0, 1.0),
        sha256=hashlib.sha256(weights).hexdigest(),
    )
    return Model(card, network, device)


class Evaluation:
    """A model, the pictures it is measured on, and its scores of them.

    `calibration` is the model's own; None fits it to val.
    """

    def __init__(
        self,
        model: Model,
        records: Sequence[Record],
        detector: Detector,
        calibration: Calibration | None,
    ) -> None:
        self.model, self.records, self.detector = model, records, detector
        self.scores = Scores(scores_path(model, detector.name))
        self.cache = Path("runs") / f"faces-{detector.name}.json"
        self.views: dict[str, View] = {CLEAN: lambda image, box: (image, box)}
        self.copies = {
            f"copy: {copy.name}": copy_view(copy, model.preprocessing.margin) for copy in COPIES
        }
        self.tiers = {name: tier_view(change) for name, change in TIERS.items()}
        if calibration is None:
            val, logits, _ = self._score("val", {})
            calibration = calibrate(np.array([r.label for r in val]), logits)
        self.calibration = calibration

    def faces(self, records: Sequence[Record]) -> Faces:
        """The largest face of each."""
        return find_faces(records, self.detector, self.cache)

    def _score(
        self, name: str, views: Mapping[str, View]
    ) -> tuple[list[Record], Array, list[Record]]:
        chosen = choose(self.records, name)
        faces = self.faces(chosen)
        score(
            self.model, chosen, faces, {**self.views, **views}, self.detector, self.scores,
            boxes=self.cache.with_name(f"{self.cache.stem}-reencoded.json"),
        )  # fmt: skip
        found, logits = self.scores.of(chosen)
        kept = [record for record, f in zip(chosen, found) if f]
        check_classes(kept, name)
        return kept, logits[found], chosen

    def set(self, name: str, *, copies: bool, tiers: bool) -> tuple[Scored, int]:
        """One of `SETS`, scored, and in how many of its pictures no face was found."""
        views = {**(self.copies if copies else {}), **(self.tiers if tiers else {})}
        kept, logits, chosen = self._score(name, views)
        seen = tuple(self.scores.of(kept, view)[1] for view in self.copies) if copies else ()
        return Scored(kept, logits, self.calibration, seen), len(chosen) - len(kept)


def gist(results: Mapping[str, Any]) -> dict[str, Any]:
    """What card.json holds of the results: what the page shows, without the lists by source."""
    sets = {
        name: {key: found[key] for key in GIST if key in found}
        for name, found in results["sets"].items()
    }
    return {**results, "sets": sets}


def describe_run(folder: Path, title: str | None) -> dict[str, Any]:
    """What an experiment learnt from, for the matrix of results."""
    run = json.loads((folder / "run.json").read_text())
    keys = ("command", "data", "pictures", "photographs", "families_of_fakes")
    return {
        "title": title or folder.name,
        "backbone": run["recipe"]["backbone"],
        "training": {key: run[key] for key in keys},
    }


def evaluate(
    evaluation: Evaluation, names: Sequence[str], *, reencode: bool, stability: bool
) -> tuple[dict[str, Any], dict[str, Scored]]:
    """Measure sets.

    Args:
        reencode: measure the test set after each of `TIERS`, and with the stability check.
        stability: measure every set with the stability check.

    Returns:
        The numbers, and the scored sets for plots.
    """
    results: dict[str, Any] = {"sets": {}}
    scored: dict[str, Scored] = {}
    for name in names:
        tiers = reencode and name == "test"
        scored[name], no_face = evaluation.set(name, copies=stability or tiers, tiers=tiers)
        results["sets"][name] = found = measure(scored[name], no_face)
        if name == "val":
            found["curve"] = thresholds_curve(scored[name].labels, scored[name].p_fake)
        if tiers:
            results["reencoded"] = reencoded(scored[name], evaluation.scores)
        print(f"{name}: AUC {found['auc']['value']:.4f}, ECE {found['ece']:.4f}", flush=True)
    return results, scored


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
    parser.add_argument("--detector", help="yunet or haar (default: the best at hand)")
    args = parser.parse_args(argv)
    if (args.name is None) == (args.run is None):
        parser.error("give the name of a model, or --run and the folder of a training run")

    root = checkpoints.checkpoints_root()
    detector = open_detector(args.detector)
    records = read_data(args)
    if args.run:
        evaluation = Evaluation(load_run(args.run), records, detector, None)
    else:
        model = checkpoints.load(args.name)
        card = model.card
        evaluation = Evaluation(model, records, detector, model.calibration)
    measured, scored = evaluate(
        evaluation, args.sets, reencode=args.reencode, stability=args.stability
    )
    results = {
        "command": f"python -m train.evaluate {args.name or f'--run {args.run}'} --data MANIFEST "
        f"--sets {' '.join(args.sets)}"
        + (" --reencode" if args.reencode else "")
        + (" --stability" if args.stability else "")
        + (f" --detector {args.detector}" if args.detector else ""),
        "data": fingerprint(records),
        "detector": detector.name,
        "seed": SEED,
        **rounded(measured),
    }
    if args.run:
        path = root / "experiments" / f"{args.run.name}.json"
        write_json(path, {**describe_run(args.run, args.title), **results})
        return
    folder = root / args.name
    path = folder / "metrics.json"
    known = read_json(path)
    if detector.name == "haar":
        write_json(path, {**known, "haar": results})
        checkpoints.write_card(folder, card)  # which names the checksum of metrics.json
        return
    names = plots.draw(scored, folder / "plots", card.title)
    results["plots"] = [f"plots/{name}" for name in names]
    write_json(path, {**results, **({"haar": known["haar"]} if "haar" in known else {})})
    checkpoints.write_card(folder, dataclasses.replace(card, metrics=gist(results)))
    for name, found in scored.items():
        page = Path("runs") / "mistakes" / f"{args.name}-{name}.png"
        plots.mistakes(found, evaluation.faces(found.records), page)
        print(f"{page}: the worst mistakes on {name}, which do not belong in the repository")


if __name__ == "__main__":
    main()
