"""ONNX: for ONNX Runtime on servers, phones and in browsers, and for most other tools."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fakeface.types import FloatArray
from train.formats.network import INPUT, OUTPUT, Network, Run

OPSET = 18  # the lowest that torch writes by itself; runtimes of 2023 read it


def convert(network: Network) -> Any:
    """The network as an `onnx.ModelProto` of any number of faces, with its metadata."""
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about its own parts
            program = torch.onnx.export(
                network.module,
                (network.example,),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("n")},),
            )
    finally:
        quiet.setLevel(level)
    assert program is not None  # noqa: S101  # as is documented where no file is named
    proto = program.model_proto
    for part in (*proto.graph.node, *proto.graph.input, *proto.graph.output,
                 *proto.graph.initializer, *proto.graph.value_info):  # fmt: skip
        part.ClearField("metadata_props")  # how torch came by it, which is a third of a small file
        part.ClearField("doc_string")
    return set_metadata(proto, network.metadata)


def set_metadata(proto: Any, metadata: Mapping[str, str]) -> Any:
    """Replace the metadata of an `onnx.ModelProto`, and return it."""
    import onnx

    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, dict(metadata))
    proto.doc_string = "Is this face real? A face as the input -> a logit, which rises with fakes."
    return proto


def write(network: Network, path: Path) -> None:
    """Write the network as one file."""
    import onnx

    proto = convert(network)
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString())


def run(path: Path) -> Run:
    """What a written file computes, by ONNX Runtime on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def call(batch: torch.Tensor) -> FloatArray:
        (logits,) = session.run([OUTPUT], {INPUT: np.ascontiguousarray(batch.numpy())})
        return np.asarray(logits, np.float32)

    return call


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a written file."""
    import onnx

    return list_metadata(onnx.load(path, load_external_data=False))


def list_metadata(proto: Any) -> dict[str, str]:
    """The metadata of an `onnx.ModelProto`."""
    return {field.key: field.value for field in proto.metadata_props}
