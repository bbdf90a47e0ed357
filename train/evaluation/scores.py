"""What a model says of every picture, kept in runs/scores so that nothing is scored twice.

Tables and plots are made from these numbers, and can be made again without a network.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from fakeface.faces import Detector, largest
from fakeface.files import write_atomically
from fakeface.images import decoder as images
from fakeface.models.engine import Model
from fakeface.models.preprocess import face_tensor
from fakeface.progress import progress
from fakeface.types import RGB, Box
from train.datasets.faces import Faces
from train.datasets.records import Record
from train.evaluation.inference import BATCH, map_in_threads, quick_logits
from train.evaluation.metrics import Array

CLEAN = "clean"
# What a view is made by, from the picture and its face: the changed picture, and the face in it
# or None where it must be found anew.
View = Callable[[RGB, Box], tuple[RGB, Box | None]]


class Scores:
    """Logits by file and view: a CSV with the columns sha256, view, logit that grows as they come.

    A view in which no face was found has an empty logit. A kill costs the last batch at most.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[tuple[str, str], float | None] = {}
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        self.torn = bool(lines) and not lines[-1].endswith("\n")
        whole = [line for line in lines if line.endswith("\n")]  # a kill may cut the last one off
        for sha256, view, logit in csv.reader(whole):
            self.known[sha256, view] = float(logit) if logit else None

    def add(self, rows: Iterable[tuple[str, str, float | None]]) -> None:
        """Keep new scores, in memory and in the file."""
        new = {(sha256, view): logit for sha256, view, logit in rows}
        if self.torn:
            write_atomically(self.path, _lines({**self.known, **new}).encode())
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", newline="") as file:
                file.write(_lines(new))
        self.known |= new
        self.torn = False

    def of(self, records: Sequence[Record], view: str = CLEAN) -> tuple[Array, Array]:
        """What is known of a view of these records.

        Returns:
            Which have a face there, bool (N,), and the logits of all, nan without a face, (N,).
        """
        found = [self.known.get((record.sha256, view)) for record in records]
        logits = np.array([np.nan if logit is None else logit for logit in found], float)
        return ~np.isnan(logits), logits


def _lines(scores: Mapping[tuple[str, str], float | None]) -> str:
    """Scores as lines of the file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    for (sha256, view), logit in scores.items():
        writer.writerow((sha256, view, "" if logit is None else f"{logit:.9g}"))
    return text.getvalue()


def scores_path(model: Model, detector: str) -> Path:
    """Where the scores of these weights, with this preprocessing and detector, are kept."""
    identity = hashlib.sha256(f"{model.sha256} {model.preprocessing}".encode()).hexdigest()[:12]
    return Path("runs") / "scores" / f"{model.name}-{identity}-{detector}.csv"


def score(
    model: Model,
    records: Sequence[Record],
    faces: Faces,
    views: Mapping[str, View],
    detector: Detector,
    scores: Scores,
    *,
    boxes: Path,
    workers: int = 2,
) -> None:
    """Score what `scores` lacks: `views` of each record, decoded once for all of them.

    Args:
        faces: the largest face of each record in the clean picture; a record without is noted as
            having none in any view.
        views: by name.
        boxes: a JSON file of the faces that `detector` found anew in changed pictures, used for
            every model and extended.
    """
    missing = {r.sha256: [v for v in views if (r.sha256, v) not in scores.known] for r in records}
    todo = [r for r in {r.sha256: r for r in records}.values() if missing[r.sha256]]
    scores.add(
        (r.sha256, view, None) for r in todo if r.sha256 not in faces for view in missing[r.sha256]
    )
    todo = [r for r in todo if r.sha256 in faces]
    if not todo:
        return
    known: dict[str, list[int] | None] = json.loads(boxes.read_text()) if boxes.exists() else {}

    def prepare(record: Record) -> list[tuple[str, str, torch.Tensor | None]]:
        image, out = images.decode(record.read()), []
        for name in missing[record.sha256]:
            changed, box = views[name](image, faces[record.sha256])
            if box is None:
                key = f"{record.sha256} {name}"
                if key not in known:
                    face = largest(detector.detect(changed))
                    found = face.box if face else None
                    known[key] = found.as_list() if found else None
                at = known[key]
                box = Box(*at) if at else None
            tensor = face_tensor(changed, box, model.preprocessing) if box else None
            out.append((record.sha256, name, tensor))
        return out

    before = len(known)
    logits = quick_logits(model, sum(len(missing[r.sha256]) for r in todo))
    waiting: list[tuple[str, str, torch.Tensor | None]] = []

    def flush() -> None:
        faced = [(sha256, view, x) for sha256, view, x in waiting if x is not None]
        scores.add((sha256, view, None) for sha256, view, x in waiting if x is None)
        if faced:
            values = logits(torch.stack([x for _, _, x in faced]))
            scores.add((s, v, float(z)) for (s, v, _), z in zip(faced, values))
        waiting.clear()

    try:
        for made in progress(
            map_in_threads(prepare, todo, workers), total=len(todo), desc=model.name
        ):
            waiting += made
            if len(waiting) >= BATCH:
                flush()
        flush()
    finally:
        if len(known) > before:
            write_atomically(boxes, json.dumps(dict(known)).encode())
