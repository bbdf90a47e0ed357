"""What saves time with a model: `python -m train shortcuts NAME --data MANIFEST`.

Three shortcuts are measured on the largest face of every picture of some splits: to compute in
bfloat16, to leave out the mirror image of a face, and to leave out re-encoded copies that cannot
turn its verdict. The numbers go into checkpoints/NAME/shortcuts.json; what changes no verdict is
allowed in the model's card.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

import numpy as np
import torch
from scipy.special import expit

from fakeface.faces import is_judgeable, open_detector
from fakeface.images import decoder as images
from fakeface.models import checkpoints
from fakeface.models.calibrate import Calibration
from fakeface.models.card import Shortcuts
from fakeface.models.engine import Model
from fakeface.models.preprocess import face_tensor
from fakeface.models.runtime import PRECISIONS, Runtime, compile_network, computes_bf16
from fakeface.programs import Precision
from fakeface.progress import progress
from fakeface.stability import COPIES, variants
from train.datasets.faces import Faces, face_cache, find_faces
from train.datasets.records import Record, SourceError, fingerprint
from train.datasets.sources import add_data_arguments, read_data
from train.evaluation.inference import map_in_threads
from train.evaluation.metrics import Array, auc_interval
from train.evaluation.scored import Scored, find_flips
from train.evaluation.scores import Scores, scores_path
from train.evaluation.store import read_json, write_json

CLOSE: Final = 0.01  # p(fake) that bfloat16 may change, for `MOST` of the faces
MOST: Final = 0.999
RESERVE: Final = 1.1  # copies may move other faces a little farther than those that were measured
_BATCH: Final = 4  # as the engine runs them on a CPU
_CHUNK: Final = 16  # pictures
_SIDES: Final = ("", ", mirrored")


def score_passes(
    model: Model,
    runtimes: Mapping[Precision, Runtime],
    records: Sequence[Record],
    faces: Faces,
    scores: Scores,
) -> None:
    """Score each single pass that `scores` lacks: in each precision, and of the copies in one.

    Args:
        model: the model.
        runtimes: its network in f32 and, where the processor has it, in bf16.
        records: all of them have a face.
        faces: the largest face of each.
        scores: is extended; a copy in which the face is too small has no logit.
    """
    todo = [r for r in records if any((r.sha256, view) not in scores.known for view in runtimes)]

    def prepare(record: Record) -> tuple[str, list[str], torch.Tensor]:
        image, box = images.decode(record.read()), faces[record.sha256]
        names, made = ["clean"], [face_tensor(image, box, model.preprocessing)]
        copies = variants(image, [box], model.preprocessing.margin)
        for copy, (small, (moved,)) in zip(COPIES, copies):
            if is_judgeable(moved.w, moved.h):
                names.append(copy.name)
                made.append(face_tensor(small, moved, model.preprocessing))
        return record.sha256, names, torch.stack(made)

    # Of a bar itself, each `islice` would begin anew, and find nothing after the first.
    made = iter(progress(map_in_threads(prepare, todo, 1), total=len(todo), desc=model.name))
    while some := list(islice(made, _CHUNK)):
        where = [(sha256, name) for sha256, names, _ in some for name in names]
        batch = torch.cat([tensors for *_, tensors in some])
        clean = [i for i, (_, name) in enumerate(where) if name == "clean"]
        found: dict[tuple[str, str], float | None] = {
            (sha256, f"{copy.name}{side}"): None
            for sha256, *_ in some for copy in COPIES for side in _SIDES
        }  # fmt: skip
        for side, shown in zip(_SIDES, (batch, batch.flip(3))):
            for (sha256, name), logit in zip(where, _run(runtimes["f32"], shown)):
                found[sha256, f"{'f32' if name == 'clean' else name}{side}"] = float(logit)
            if "bf16" in runtimes:
                for i, logit in zip(clean, _run(runtimes["bf16"], shown[clean])):
                    found[where[i][0], f"bf16{side}"] = float(logit)
        scores.add((sha256, view, logit) for (sha256, view), logit in found.items())


def compile_each(model: Model) -> dict[Precision, Runtime]:
    """A model's network in each precision in which OpenVINO runs it here."""
    found: dict[Precision, Runtime] = {}
    for precision in PRECISIONS if computes_bf16() else PRECISIONS[1:]:
        runtime = compile_network(
            model.outputs, model.preprocessing.size, sha256=model.sha256, precision=precision
        )
        if runtime:
            found[precision] = runtime
    return found


def _run(runtime: Runtime, batch: torch.Tensor) -> Array:
    found: Array = np.concatenate([runtime(x)[0][:, 0] for x in torch.split(batch, _BATCH)])
    return found


def measure_shortcuts(
    records: Sequence[Record], scores: Scores, calibration: Calibration
) -> dict[str, Any]:
    """What each shortcut changes on one set, all of whose passes are in `scores`."""

    def both(view: str) -> Array:
        """The mean of a face and its mirror image, as the engine gives it."""
        sides = [scores.of(records, f"{view}{side}")[1] for side in _SIDES]
        return np.asarray(np.mean(sides, axis=0))

    whole = Scored(records, both("f32"), calibration)
    alone = scores.of(records, "f32")[1]
    return {
        "n": len(records),
        "bf16": measure_bf16(whole, both("bf16")),
        "mirror": measure_mirror(whole, alone),
        "copies": {copy.name: measure_copy(whole, both(copy.name)) for copy in COPIES},
    }


def measure_bf16(whole: Scored, quick: Array) -> dict[str, Any] | None:
    """bfloat16 against full precision; None where it was not run."""
    if np.isnan(quick).all():
        return None
    moved = np.abs(expit(whole.calibration.calibrate(quick)) - whole.p_fake)
    before, after = whole.verdicts(), whole.verdicts(quick)
    return {
        "close": float((moved <= CLOSE).mean()),
        "farthest": float(moved.max()),
        "changed": int((before != after).sum()),
        "turned": int(find_flips(before, after).sum()),
    }


def measure_mirror(whole: Scored, alone: Array) -> dict[str, Any]:
    """One pass against the mean of a face and its mirror image."""
    before, after = whole.verdicts(), whole.verdicts(alone)
    return {
        "auc": auc_interval(whole.labels, whole.logits, whole.groups),
        "auc_without": auc_interval(whole.labels, alone, whole.groups),
        "changed": int((before != after).sum()),
        "turned": int(find_flips(before, after).sum()),
        "mean_change_of_p_fake": float(
            np.abs(expit(whole.calibration.calibrate(alone)) - whole.p_fake).mean()
        ),
    }


def measure_copy(whole: Scored, logits: Array) -> dict[str, Any]:
    """How far a copy moves the calibrated log-odds, towards real and towards fake at most."""
    kept = ~np.isnan(logits)
    calibrate = whole.calibration.calibrate
    moved = calibrate(logits[kept]) - calibrate(whole.logits[kept])
    turned = find_flips(whole.verdicts()[kept], whole.verdicts(logits)[kept])
    return {
        "n": int(kept.sum()),
        "down": float(max(0.0, -moved.min())),
        "up": float(max(0.0, moved.max())),
        "turned": int(turned.sum()),
        "farthest_of_turned": float(np.abs(moved[turned]).max()) if turned.any() else None,
    }


def allow(measured: Mapping[str, Mapping[str, Any]]) -> Shortcuts:
    """What these sets allow."""
    quick = [one["bf16"] for one in measured.values()]
    moves = {}
    for copy in COPIES:
        found = [one["copies"][copy.name] for one in measured.values()]
        down, up = (
            math.ceil(10 * RESERVE * max(one[way] for one in found)) / 10 for way in ("down", "up")
        )
        moves[copy.name] = (down, up)
    return Shortcuts(
        bf16=all(one and one["close"] >= MOST and not one["turned"] for one in quick), moves=moves
    )


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", help="a folder of checkpoints/")
    add_data_arguments(parser)
    parser.add_argument("--splits", nargs="+", default=["val", "test"], help="default: val test")
    parser.add_argument("--detector", help="yunet, mtcnn or haar (default: the best at hand)")
    args = parser.parse_args(argv)

    folder = checkpoints.checkpoints_root() / args.name
    model = checkpoints.load(args.name, device="cpu", engine="torch")
    detector = open_detector(args.detector)
    records = read_data(args)
    runtimes = compile_each(model)
    if "f32" not in runtimes:
        raise SourceError("OpenVINO cannot run this model here, so there is nothing to measure.")
    scores = Scores(scores_path(model, f"{detector.name}-passes"))
    measured = {}
    for name in args.splits:
        chosen = [record for record in records if record.split == name]
        faces = find_faces(chosen, detector, face_cache(detector))
        kept = [record for record in chosen if record.sha256 in faces]
        score_passes(model, runtimes, kept, faces, scores)
        measured[name] = measure_shortcuts(kept, scores, model.calibration)
        print(f"{name}: {measured[name]}", flush=True)
    path = folder / "shortcuts.json"
    known = read_json(path).get("sets", {})
    sets = {**known, **measured}
    command = f"python -m train shortcuts {args.name} --data MANIFEST --splits {' '.join(sets)}"
    write_json(path, {"command": command, "data": fingerprint(records), "sets": sets})
    shortcuts = allow(sets)
    checkpoints.write_card(folder, dataclasses.replace(model.card, shortcuts=shortcuts))
    print(f"{folder / 'card.json'}: {shortcuts}")


if __name__ == "__main__":
    main()
