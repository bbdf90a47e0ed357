"""OpenVINO: for Intel's and other x86 processors, and for ARM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from fakeface.models.runtime import convert
from fakeface.programs import load_program
from fakeface.types import FloatArray
from train.formats.network import INPUT, OUTPUT, Network, Run

_FIELD = "fakeface"  # of rt_info, which holds fields of others, too


def write(network: Network, path: Path) -> None:
    """Write the network as a folder of model.xml and model.bin."""
    import openvino

    graph = convert(network.module, network.size)
    graph.input(0).set_names({INPUT})
    graph.output(0).set_names({OUTPUT})
    for name, value in network.metadata.items():
        graph.set_rt_info(value, [_FIELD, name])
    path.mkdir()
    # The shipped weights are fp16, so nothing is lost.
    openvino.save_model(graph, path / "model.xml", compress_to_fp16=True)


def run(path: Path) -> Run:
    """What a written folder computes."""
    program = load_program(_read(path), "f32")

    def call(batch: torch.Tensor) -> FloatArray:
        return np.array(program(np.ascontiguousarray(batch.numpy()))[0], np.float32)

    return call


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a written folder."""
    found = _read(path).get_rt_info([_FIELD]).value
    return {name: str(value) for name, value in found.items()}


def _read(path: Path) -> Any:
    import openvino

    return openvino.Core().read_model(path / "model.xml")
