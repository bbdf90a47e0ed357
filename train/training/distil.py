"""A teacher: what a network without pretrained weights learns from one that has them.

Beside the labels, the student learns to give the teacher's logits (Hinton et al., "Distilling the
Knowledge in a Neural Network", 2015) and, through a linear map a stage, its feature maps (Romero et
al., "FitNets: Hints for Thin Deep Nets", ICLR 2015): thousands of targets a picture, and not one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate, mse_loss

from fakeface.models.backbones import Backbone, feature_map


class Teacher(nn.Module):
    """A frozen network and, for each stage but the first, the map from the student's features.

    Args:
        network: on the student's device.
        backbone: the teacher's.
        student: the network to teach; its feature maps are read by hooks.
        student_backbone: the student's.
        size: side of the teacher's input, in pixels.
    """

    def __init__(
        self,
        network: nn.Module,
        backbone: Backbone,
        student: nn.Module,
        student_backbone: Backbone,
        size: int,
    ) -> None:
        super().__init__()
        self.size = size
        self._network = [network.eval().requires_grad_(False)]  # a list, so that it is not saved
        self._theirs, self._own = watch(network, backbone), watch(student, student_backbone)
        device = next(student.parameters()).device
        # The student's tensor, normalised as the teacher learnt it.
        mean, std, own_mean, own_std = (
            torch.tensor(values, device=device)[:, None, None]
            for values in (
                backbone.mean,
                backbone.std,
                student_backbone.mean,
                student_backbone.std,
            )
        )
        self._scale, self._shift = own_std / std, (own_mean - mean) / std
        probe = torch.zeros(1, 3, 64, 64, device=device)
        mode = student.training
        with torch.no_grad():
            network(probe)
            student.eval()(probe)
        student.train(mode)
        self.maps = nn.ModuleList(
            nn.Conv2d(own.shape[1], their.shape[1], 1, device=device)
            for own, their in zip(self._own.values(), self._theirs.values())
        )

    @property
    def network(self) -> nn.Module:
        """The teacher itself."""
        return self._network[0]

    def forward(self, x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """How far the student is from the teacher, on the batch that it was just given.

        Args:
            x: faces at the teacher's size, (N, 3, size, size), normalised for the student, which
                was given a smaller copy; see `shrink`.
            logits: what the student said, (N,).
        """
        with torch.no_grad():
            target = self.network(x * self._scale + self._shift).float().flatten().sigmoid()
        loss = binary_cross_entropy_with_logits(logits, target)
        for convert, own, their in zip(self.maps, self._own.values(), self._theirs.values()):
            wanted = their.float()
            spread = wanted.std((0, 2, 3), keepdim=True) + 1e-3
            wanted = (wanted - wanted.mean((0, 2, 3), keepdim=True)) / spread
            given = convert(own).float()
            if given.shape != wanted.shape:
                given = interpolate(given, wanted.shape[2:], mode="bilinear")
            # 1 where nothing is explained; dead channels of the teacher count as none.
            loss = loss + mse_loss(given, wanted) / len(self.maps)
        return loss


def shrink(x: torch.Tensor, size: int) -> torch.Tensor:
    """A batch (N, 3, S, S) at a side of `size`, for a student smaller than its teacher."""
    if x.shape[-1] == size:
        return x
    return interpolate(x, (size, size), mode="bicubic", antialias=True).contiguous(
        memory_format=torch.channels_last
    )


def watch(network: nn.Module, backbone: Backbone) -> dict[str, torch.Tensor]:
    """The last map of each stage but the first, by name, renewed at every forward pass."""
    seen: dict[str, torch.Tensor] = {}
    names = [stage[-1] for stage in backbone.stages[1:-1]] + [backbone.cam_layer]

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            seen[name] = feature_map(output, backbone.prefix_tokens)

        return hook

    for name in names:
        network.get_submodule(name).register_forward_hook(keep(name))
    return seen
