"""LiteRT, once TensorFlow Lite: for Android, and for microcontrollers with enough memory."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fakeface.models.runtime import Runtime
from train.formats.network import Network

_FILE = "fakeface.json"


def write(network: Network, path: Path) -> None:
    """Write the network for one face at a time, as one file.

    The metadata is a file within the file: a ZIP archive at its end, which LiteRT does not read and
    any ZIP tool does, as is usual for models of this kind.
    """
    import litert_torch

    litert_torch.convert(network.module, (network.example[:1],)).export(str(path))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(_FILE, json.dumps(network.metadata, indent=1))


def run(path: Path) -> Runtime:
    """What a written file computes."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    # The narrower one is the logit; converters name outputs as they like.
    targets = sorted(interpreter.get_output_details(), key=lambda found: int(found["shape"][-1]))

    def call(batch: torch.Tensor) -> tuple[Any, Any]:
        rows = []
        for face in batch.numpy():
            interpreter.set_tensor(source["index"], face[None])
            interpreter.invoke()
            rows.append([interpreter.get_tensor(target["index"]) for target in targets])
        logits, features = (np.concatenate(parts) for parts in zip(*rows))
        return logits, features

    return call


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a written file."""
    with zipfile.ZipFile(path) as archive:
        found: dict[str, str] = json.loads(archive.read(_FILE))
    return found
