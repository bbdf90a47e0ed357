"""Progressive unfreezing: the head, then the last stage with it, then everything.

Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from fakeface.models.backbones import Backbone


def open_stages(model: nn.Module, backbone: Backbone, stages: int) -> None:
    """Let the head and the last `stages` stages train, and freeze the rest.

    The network is left in training mode where it is open and in evaluation mode where it is
    frozen, so that the batch-norm statistics of frozen layers stay as they are.
    """
    model.requires_grad_(False)
    model.eval()
    opened = backbone.stages[len(backbone.stages) - stages :]
    for name in (backbone.head, *(name for stage in opened for name in stage)):
        model.get_submodule(name).requires_grad_(True).train()


def parameter_groups(
    model: nn.Module, backbone: Backbone, lr: float, depth_decay: float, weight_decay: float
) -> Iterator[dict[str, Any]]:
    """Optimiser groups of the open parameters: the learning rate falls by `depth_decay` a stage.

    Biases and norm layers are not decayed.
    """
    depths = ((backbone.head,), *reversed(backbone.stages))
    for depth, names in enumerate(depths):
        decayed: list[nn.Parameter] = []
        plain: list[nn.Parameter] = []
        for name in names:
            for parameter in model.get_submodule(name).parameters():
                if parameter.requires_grad:
                    (plain if parameter.ndim <= 1 else decayed).append(parameter)
        rate = lr * depth_decay**depth
        if decayed:
            yield {"params": decayed, "lr": rate, "weight_decay": weight_decay}
        if plain:
            yield {"params": plain, "lr": rate, "weight_decay": 0.0}
