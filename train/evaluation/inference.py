"""Pictures -> logits by the thousand, as quick as the machine can."""

from __future__ import annotations

import importlib.util
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import nn

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
    bar = progress(batches, total=-(-len(found) // BATCH), desc=model.name)
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
        example = torch.zeros(2, 3, size, size)
        traced = torch.jit.trace(network, example)  # type: ignore[no-untyped-call]
        frontend = FrontEndManager().load_by_framework("pytorch")
        # Not openvino.convert_model, which reports to its maker.
        decoder = TorchScriptPythonDecoder(traced)  # must outlive the conversion
        graph = frontend.convert(frontend.load(decoder))
    graph.reshape({graph.input(0): openvino.PartialShape([-1, 3, size, size])})
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    program = openvino.Core().compile_model(graph, "CPU", options)
    return lambda x: np.asarray(program(np.ascontiguousarray(x.numpy()))[0])
