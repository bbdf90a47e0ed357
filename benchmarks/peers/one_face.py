"""The time of one pass of one face through each engine, model by model."""

from __future__ import annotations

import torch
from serve import serve, time_calls  # type: ignore[import-not-found]

from fakeface.models import checkpoints
from fakeface.models.engine import Model

MODELS: dict[str, dict[str, Model]] = {}


def load(name: str) -> str:
    """Load a model for each engine; in what precision OpenVINO runs it."""
    MODELS[name] = {
        engine: checkpoints.load(name, device="cpu", engine=engine)
        for engine in ("torch", "openvino")
    }
    return MODELS[name]["openvino"].engine


def time_passes(name: str, engine: str, runs: int) -> list[float]:
    """Milliseconds of each pass of one face."""
    model = MODELS[name][engine]
    size = model.preprocessing.size
    face = torch.rand(1, 3, size, size).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        return time_calls(lambda: model._pass(face), runs)


serve(load=load, time_passes=time_passes)
