"""Progressive unfreezing: the head, then the last stage with it, then everything.

Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

from timm.optim import param_groups_layer_decay  # type: ignore[attr-defined]
from torch import nn

from fakeface.models.backbones import Backbone, parts
from train.training.recipes import Tune

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm2d)


def open_stages(model: nn.Module, backbone: Backbone, stages: int, tune: Tune = "all") -> None:
    """Let the head and the last `stages` stages, or their norm layers, train; freeze the rest.

    The network is left in training mode where it is open and in evaluation mode where it is
    frozen, so that the batch-norm statistics of frozen layers stay as they are.
    """
    model.requires_grad_(False)
    model.eval()
    opened = backbone.stages[len(backbone.stages) - stages :]
    body = parts(model, [name for stage in opened for name in stage])
    if tune == "norms":
        modules = itertools.chain.from_iterable(
            part.modules() for part in body if isinstance(part, nn.Module)
        )
        body = (module for module in modules if isinstance(module, _NORMS))
    for part in itertools.chain(parts(model, (backbone.head,)), body):
        part.requires_grad_(True)
        if isinstance(part, nn.Module):
            part.train()


def parameter_groups(
    model: nn.Module, backbone: Backbone, lr: float, depth_decay: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Optimiser groups of the open parameters: the learning rate falls by `depth_decay` a stage.

    Biases, norm layers, and what timm says of the network (class token, positions) do not decay.
    """
    keeps = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()  # type: ignore[operator]
    groups = param_groups_layer_decay(
        _Staged(model, backbone),  # type: ignore[arg-type]
        weight_decay,
        no_weight_decay_list=keeps,
        layer_decay=depth_decay,
    )
    return [
        {
            "params": group["params"],
            "lr": lr * group["lr_scale"],
            "weight_decay": group["weight_decay"],
        }
        for group in groups
    ]


class _Staged:
    """A network as timm's parameter groups see it, with our stages for its layers."""

    def __init__(self, model: nn.Module, backbone: Backbone) -> None:
        self.model, self.stages = model, (*backbone.stages, (backbone.head,))

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        return self.model.named_parameters()

    def group_matcher(self, coarse: bool) -> Callable[[str], int]:
        """The number of the stage that a parameter belongs to."""
        return lambda name: next(
            number
            for number, stage in enumerate(self.stages)
            if any(name == part or name.startswith(f"{part}.") for part in stage)
        )


def learning_rate_factor(progress: float) -> float:
    """The learning rate as a share of its peak: a short warm-up, then a cosine down to 2 %."""
    if progress < 0.05:
        return 0.1 + 0.9 * progress / 0.05
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - 0.05) / 0.95))
