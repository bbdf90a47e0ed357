"""Thousands of pictures -> logits, as fast as the machine can."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2
import numpy as np
import torch

from fakeface.models.engine import Model
from fakeface.progress import progress
from train.datasets.faces import Faces, FaceSet, loader
from train.datasets.records import Record
from train.evaluation.metrics import Array

BATCH = 64
FEW = 200  # pictures for which making OpenVINO's program takes longer than it saves
Logits = Callable[[torch.Tensor], Array]

_T = TypeVar("_T")
_R = TypeVar("_R")


def map_in_threads(function: Callable[[_T], _R], items: Iterable[_T], workers: int) -> Iterator[_R]:
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
    bar = progress(batches, total=-(-len(found) // BATCH), desc=model.name)
    return found, np.concatenate([logits(face.x) for face in bar])


def quick_logits(model: Model, pictures: int) -> Logits:
    """`Model.logits` by the engine that serves users, for very few pictures by PyTorch."""
    if pictures >= FEW and model.engine == "torch":
        model.speed_up("auto")
    return lambda batch: model.logits(batch.to(model.device))
