"""ExecuTorch: PyTorch's own runtime for phones, by XNNPACK on their processors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from fakeface.types import FloatArray
from train.formats.network import Network, Run

MOST: Final = 8  # faces at a time; memory for so many is planned ahead
_METHOD = "metadata"


def write(network: Network, path: Path) -> None:
    """Write the network for up to `MOST` faces, as one file whose method `metadata` gives JSON."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    many = ({0: torch.export.Dim("n", min=1, max=MOST)},)
    program = torch.export.export(network.module, (network.example,), dynamic_shapes=many)
    lowered = to_edge_transform_and_lower(
        program,
        partitioner=[XnnpackPartitioner()],
        constant_methods={_METHOD: json.dumps(network.metadata)},
    )
    path.write_bytes(lowered.to_executorch().buffer)


def run(path: Path) -> Run:
    """What a written file computes."""
    forward = _open(path, "forward")

    def call(batch: torch.Tensor) -> FloatArray:
        parts = [forward.execute([part])[0] for part in torch.split(batch.contiguous(), MOST)]
        return np.asarray(torch.cat(parts).numpy(), np.float32)

    return call


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a written file."""
    found: dict[str, str] = json.loads(_open(path, _METHOD).execute([])[0])
    return found


def _open(path: Path, method: str) -> Any:
    from executorch.runtime import Runtime as ExecuTorch

    return ExecuTorch.get().load_program(path).load_method(method)
