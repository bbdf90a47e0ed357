"""Networks as OpenVINO runs them on this CPU."""

from __future__ import annotations

import sys
from typing import Any, Final, Literal, TypeAlias

Precision: TypeAlias = Literal["f32", "bf16"]

# What is kept of steps that were prepared; YuNet has some hundred for a shape. With 16 a picture of
# the pool takes 3.2 ms, with 256 2.8, with 1,000 2.4 (and OpenCV 5.6), for 95, 130 and 240 MB.
_STEPS: Final = 256

# OpenVINO tells its maker of each import, by this package; without it, it uses a stub of its own.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def load_program(graph: Any, precision: Precision = "f32", *, many_shapes: bool = False) -> Any:
    """A graph of OpenVINO's as a function of arrays, which one thread may call at a time.

    Args:
        graph: as OpenVINO reads it.
        precision: what it computes in.
        many_shapes: its input has another shape at every other call. Of what OpenVINO prepares for
            each shape little is then kept: for YuNet it grew to 800 MB in 1,500 pictures.

    Raises:
        ImportError: OpenVINO is not installed.
        RuntimeError: it cannot run the graph.
    """
    import openvino
    import torch

    # As many threads as torch: several processes may share the processors.
    options = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    if many_shapes:
        options["CPU_RUNTIME_CACHE_CAPACITY"] = _STEPS
    return openvino.Core().compile_model(graph, "CPU", options)
