"""LiteRT, once TensorFlow Lite: for Android, and for microcontrollers with enough memory."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import torch

from fakeface.types import FloatArray
from train.formats.network import Network, Run

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


def run(path: Path) -> Run:
    """What a written file computes."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    (target,) = interpreter.get_output_details()

    def call(batch: torch.Tensor) -> FloatArray:
        rows = []
        for face in batch.numpy():
            interpreter.set_tensor(source["index"], face[None])
            interpreter.invoke()
            rows.append(interpreter.get_tensor(target["index"]))
        return np.concatenate(rows)

    return call


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a written file."""
    with zipfile.ZipFile(path) as archive:
        found: dict[str, str] = json.loads(archive.read(_FILE))
    return found
