"""What a model says of every picture, kept in runs/scores so that nothing is scored twice.

Tables and plots are made from these numbers, and can be made again without a network.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import logging
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from fakeface.faces import Detector, largest
from fakeface.images import decoder as images
from fakeface.models.engine import Model
from fakeface.models.preprocess import face_tensor
from fakeface.types import RGB, Box
from train.datasets.faces import Faces, FaceSet, loader
from train.datasets.sources import Record
from train.evaluation.metrics import Array

BATCH = 64
FEW = 200
CLEAN = "clean"
# What a view is made by, from the picture and its face: the changed picture, and the face in it
# or None where it must be found anew.
View = Callable[[RGB, Box], tuple[RGB, Box | None]]
Logits = Callable[[torch.Tensor], Array]

_T = TypeVar("_T")
_R = TypeVar("_R")

log = logging.getLogger("train")


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
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = {(sha256, view): logit for sha256, view, logit in rows}
        fresh = {**self.known, **new} if self.torn else new
        with self.path.open("w" if self.torn else "a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            for (sha256, view), logit in fresh.items():
                writer.writerow((sha256, view, "" if logit is None else f"{logit:.9g}"))
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


def scores_path(model: Model, detector: str) -> Path:
    """Where the scores of these very weights, fed in this very way, are kept."""
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
        for made in tqdm(in_threads(prepare, todo, workers), total=len(todo), desc=model.name):
            waiting += made
            if len(waiting) >= BATCH:
                flush()
        flush()
    finally:
        if len(known) > before:
            boxes.parent.mkdir(parents=True, exist_ok=True)
            part = boxes.with_suffix(".part")
            part.write_text(json.dumps(dict(known)))
            part.replace(boxes)


def in_threads(function: Callable[[_T], _R], items: Iterable[_T], workers: int) -> Iterator[_R]:
    """`map` by threads, in order, with no more results waiting than workers can make at once."""
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[_R]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def predict(
    model: Model, records: Sequence[Record], faces: Faces, workers: int = 2
) -> tuple[list[Record], Array]:
    """Logits of the records in which a face was found, and those records."""
    found = [record for record in records if record.sha256 in faces]
    logits = quick_logits(model, len(found))
    batches = loader(FaceSet(found, faces, model.preprocessing), BATCH, workers)
    bar = tqdm(batches, total=-(-len(found) // BATCH), desc=model.name)
    return found, np.concatenate([logits(face.x) for face in bar])


def quick_logits(model: Model, pictures: int) -> Logits:
    """`Model.logits` in full precision, by OpenVINO on a CPU where it is installed.

    It is several times quicker than torch there. The first batch is scored by both, and a
    difference of more than 0.001 is refused. For a few pictures it would not be ready in time.
    """
    run = None
    if model.device.type == "cpu" and pictures >= FEW:
        run = compiled(model.network, model.preprocessing.size)
    if run is None:
        return lambda batch: model.logits(batch.to(model.device))
    checked = False

    def logits(batch: torch.Tensor) -> Array:
        nonlocal checked
        out = (run(batch) + run(batch.flip(3))).flatten() / 2
        if not checked:
            off = float(np.abs(out[:4] - model.logits(batch[:4])).max())
            if off > 1e-3:
                raise RuntimeError(f"OpenVINO's logits of {model.name} are off by {off:.2g}")
            checked = True
        return out

    return logits


def compiled(network: nn.Module, size: int) -> Callable[[torch.Tensor], Array] | None:
    """A network as OpenVINO runs it on this CPU, in float32, or None where it is not installed.

    Returns:
        A function of (N, 3, size, size).
    """
    if importlib.util.find_spec("openvino") is None:
        return None
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its tracer old
        traced = torch.jit.trace(network, torch.zeros(2, 3, size, size))
        frontend = FrontEndManager().load_by_framework("pytorch")
        # Not openvino.convert_model, which reports to its maker.
        decoder = TorchScriptPythonDecoder(traced)  # must outlive the conversion
        graph = frontend.convert(frontend.load(decoder))
    graph.reshape({graph.input(0): openvino.PartialShape([-1, 3, size, size])})
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    program = openvino.Core().compile_model(graph, "CPU", options)
    return lambda x: np.asarray(program(np.ascontiguousarray(x.numpy()))[0])
