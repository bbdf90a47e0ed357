"""Small steps on batches of faces, for which torch would wake its threads.

On a CPU they are left to NumPy: torch's threads wait for more work in a busy loop, in the way of
OpenVINO's, which run the network.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


def stack(faces: Sequence[torch.Tensor]) -> torch.Tensor:
    """Faces (3, S, S) on the CPU as one batch (N, 3, S, S)."""
    return torch.from_numpy(np.stack([face.numpy() for face in faces]))


def join(batches: Sequence[torch.Tensor]) -> torch.Tensor:
    """Batches (N, 3, S, S) on one device as one."""
    if len(batches) == 1:
        return batches[0]
    if batches[0].device.type != "cpu":
        return torch.cat(list(batches))
    return torch.from_numpy(np.concatenate([batch.numpy() for batch in batches]))


def mirror(batch: torch.Tensor) -> torch.Tensor:
    """The mirror image of each face of a batch (N, 3, S, S)."""
    if batch.device.type != "cpu":
        return batch.flip(3)
    return torch.from_numpy(batch.numpy()[..., ::-1].copy())
