"""A network as a small file: its large weights as whole numbers of 8 bits, a quarter of the size.

Each row of a weight gets a scale of its own, and the runtime turns the weights back into float32
when it loads them, so that no measured ranges are needed and nothing else is rounded: weights only,
per channel, as in Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference"
(2018), section 3.1.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from fakeface.models.engine import Model
from train.formats import to_onnx
from train.formats.network import describe, take

PRECISION: Final = "int8 weights"
_LEAST: Final = 16_384  # numbers; smaller weights, such as those of depthwise layers, stay


def write_light(model: Model) -> tuple[bytes, dict[str, str]]:
    """A model as a small ONNX file, and the metadata that the file carries."""
    told = describe(model.card, precision=PRECISION)
    return round_weights(to_onnx.convert(take(model, told))).SerializeToString(), told


def round_weights(proto: Any) -> Any:
    """Replace the large weights of an `onnx.ModelProto` by int8 and scales; returns it."""
    from onnx import helper, numpy_helper

    graph = proto.graph
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    weights = {node.input[1] for node in layers}
    found = [w for w in graph.initializer if w.name in weights and np.prod(w.dims) >= _LEAST]
    for weight in found:
        name = weight.name
        values = numpy_helper.to_array(weight)
        rows = np.abs(values).reshape(len(values), -1).max(axis=1)
        scales = np.maximum(rows / 127, np.finfo(np.float32).tiny).astype(np.float32)
        levels = np.rint(values / scales.reshape(-1, *[1] * (values.ndim - 1)))
        weight.CopyFrom(numpy_helper.from_array(levels.astype(np.int8), f"{name}_int8"))
        graph.initializer.append(numpy_helper.from_array(scales, f"{name}_scales"))
        inputs = [f"{name}_int8", f"{name}_scales"]
        node = helper.make_node("DequantizeLinear", inputs, [name], f"{name}_float", axis=0)
        graph.node.insert(0, node)
    return proto
