"""Measure a shipped model: `python -m train.evaluate NAME --data MANIFEST`.

Writes the numbers into the model's card: those with YuNet as its metrics, and those with the Haar
cascade, which users without a network get, below them as "haar". Faces are found and made into
tensors by the functions that serve users.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from fakeface import checkpoints, images
from fakeface.engine import Model
from fakeface.faces import Detector, open_detector
from fakeface.preprocess import face_tensor
from fakeface.stability import at_most, reencode, scaled
from fakeface.types import RGB, Verdict

from .data import Faces, FaceSet, find_faces, loader
from .metrics import (
    Array,
    auc_interval,
    balanced_accuracy,
    expected_calibration_error,
    tpr_at_fpr,
)
from .sources import Record, add_data_arguments, fingerprint, read_data

SEED = 0
SETS = ("val", "test", "swaps", "test_unseen", "wild_generated", "wild_swaps")
TIERS: dict[str, Callable[[RGB], RGB]] = {
    "longest side at most 768 px, JPEG 60": lambda image: reencode(at_most(image, 768), 60),
    "longest side at most 512 px, JPEG 40": lambda image: reencode(at_most(image, 512), 40),
    "half the size": lambda image: scaled(image, 0.5),
    "twice the size": lambda image: scaled(image, 2.0),
}


def generated(record: Record) -> bool:
    """Photographs, and fakes that are wholly generated or edited: all but face swaps."""
    return record.kind != "swap"


def choose(records: Sequence[Record], name: str) -> list[Record]:
    """The records of one of `SETS`.

    val and test hold all photographs of their split against generated and edited faces; swaps
    holds the test split's swaps against photographs of the same source; wild_* the fakes of
    test_wild of one kind against its photographs.
    """
    if name == "swaps":
        sources = {r.source for r in records if r.split == "test" and r.kind == "swap"}
        return [r for r in records if r.split == "test" and r.source in sources]
    if name.startswith("wild"):
        swaps = name == "wild_swaps"
        return [
            r
            for r in records
            if r.split == "test_wild" and (r.label == 0 or (r.kind == "swap") == swaps)
        ]
    return [r for r in records if r.split == name and generated(r)]


def predict(
    model: Model, records: Sequence[Record], faces: Faces, workers: int = 2
) -> tuple[list[Record], Array]:
    """Logits of the records in which a face was found, and those records."""
    found = [record for record in records if record.sha256 in faces]
    batches = loader(FaceSet(found, faces, model.preprocessing), 64, workers)
    logits = [
        model.logits(x.to(model.device))
        for x, _ in tqdm(batches, total=-(-len(found) // 64), desc=model.name)
    ]
    return found, np.concatenate(logits)


def measure(model: Model, records: Sequence[Record], logits: Array, no_face: int) -> dict[str, Any]:
    """Every number for one set."""
    labels = np.array([r.label for r in records])
    scores = [model.score(float(z)) for z in logits]
    p_fake = np.array([s.p_fake for s in scores])
    raw = 1 / (1 + np.exp(-logits.astype(float)))
    said = np.array([s.verdict for s in scores])
    source = np.array([r.source for r in records])

    def shares(label: int) -> dict[str, float]:
        return {str(v): float((said[labels == label] == v).mean()) for v in Verdict}

    def by_source(label: int) -> dict[str, dict[str, Any]]:
        out = {}
        for name in sorted(set(source[labels == label])):
            own = said[(labels == label) & (source == name)]
            out[name] = {"n": len(own), "called_fake": float((own == Verdict.FAKE).mean())}
        return out

    return {
        "n_real": int((labels == 0).sum()),
        "n_fake": int((labels == 1).sum()),
        "no_face": no_face,
        "auc": auc_interval(labels, p_fake, [r.group for r in records], seed=SEED),
        "balanced_accuracy": balanced_accuracy(labels, p_fake),
        "tpr_at_fpr_1": tpr_at_fpr(labels, p_fake, 0.01),
        "tpr_at_fpr_5": tpr_at_fpr(labels, p_fake, 0.05),
        "ece": expected_calibration_error(labels, p_fake),
        "ece_uncalibrated": expected_calibration_error(labels, raw),
        "verdicts_on_real": shares(0),
        "verdicts_on_fake": shares(1),
        "real_by_source": by_source(0),
        "fake_by_source": by_source(1),
    }


def reencoded(
    model: Model, records: Sequence[Record], logits: Array, detector: Detector
) -> dict[str, Any]:
    """The same pictures after each of `TIERS`: AUC, and how many verdicts turned to the other side.

    A verdict that turns from or to unsure is no flip.
    """
    labels = np.array([r.label for r in records])
    before = np.array([model.score(float(z)).verdict for z in logits])
    out: dict[str, Any] = {}
    for name, change in TIERS.items():
        tensors, kept = [], []
        for record in tqdm(records, desc=name):
            image = change(images.decode(record.read()))
            found = detector.detect(image)
            kept.append(bool(found))
            if found:
                largest = max(found, key=lambda f: f.box.w * f.box.h)
                tensors.append(face_tensor(image, largest.box, model.preprocessing))
        scores = model.logits(torch.stack(tensors).to(model.device))
        said = np.array([model.score(float(z)).verdict for z in scores])
        sides = {Verdict.FAKE, Verdict.REAL}
        flips = [{a, b} == sides for a, b in zip(before[kept], said)]
        groups = [r.group for r, k in zip(records, kept) if k]
        out[name] = {
            "no_face": kept.count(False),
            "auc": auc_interval(labels[kept], scores, groups, seed=SEED),
            "auc_before": auc_interval(labels[kept], logits[kept], groups, seed=SEED),
            "flips": float(np.mean(flips)),
        }
    return out


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", help="a folder of checkpoints/")
    add_data_arguments(parser)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["val"], help="default: val")
    parser.add_argument("--reencode", action="store_true", help="measure the test set re-encoded")
    parser.add_argument("--detector", help="yunet or haar (default: the best at hand)")
    args = parser.parse_args(argv)

    folder = checkpoints.checkpoints_root() / args.name
    model = checkpoints.load(args.name)
    detector = open_detector(args.detector)
    records = read_data(args)
    results: dict[str, Any] = {
        "command": f"python -m train.evaluate {args.name} --data MANIFEST --sets "
        + " ".join(args.sets)
        + (" --reencode" if args.reencode else "")
        + (f" --detector {args.detector}" if args.detector else ""),
        "data": fingerprint(records),
        "detector": detector.name,
        "seed": SEED,
        "sets": {},
    }
    for name in args.sets:
        chosen = choose(records, name)
        faces = find_faces(chosen, detector, Path("runs") / f"faces-{detector.name}.json")
        found, logits = predict(model, chosen, faces)
        results["sets"][name] = measure(model, found, logits, len(chosen) - len(found))
        print(name, json.dumps(results["sets"][name]["auc"]))
        if name == "test" and args.reencode:
            results["reencoded"] = reencoded(model, found, logits, detector)
    card = checkpoints.read_card(folder)
    if detector.name == "haar":
        metrics = {**card.metrics, "haar": results}
    else:
        metrics = {**results, **{k: v for k, v in card.metrics.items() if k == "haar"}}
    checkpoints.write_card(folder, dataclasses.replace(card, metrics=metrics))


if __name__ == "__main__":
    main()
