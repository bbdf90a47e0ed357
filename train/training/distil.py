"""A teacher: what a network learns from others that know more.

Beside the labels, the student learns to give the teacher's logits (Hinton et al., "Distilling the
Knowledge in a Neural Network", 2015): of several networks the mean, so that one small network
learns what an ensemble says. And, through a linear map a stage, it learns the feature maps of the
first of them (Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015): thousands of targets
a picture, and not one, which a network without pretrained weights needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate, mse_loss

from fakeface.models.backbones import Backbone, feature_map
from fakeface.models.calibrate import Calibration
from train.training.precision import autocast

AS_IT_IS = Calibration(1.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Member:
    """One of the networks that make a teacher.

    Attributes:
        network: on the student's device.
        backbone: its own.
        size: side of its input, in pixels.
        calibration: how its logits are read, so that those of several can be compared.
    """

    network: nn.Module
    backbone: Backbone
    size: int
    calibration: Calibration = AS_IT_IS


class Teacher(nn.Module):
    """Frozen networks and, for each stage but the first, the map from the student's features.

    Args:
        members: at least one; the first gives the hints.
        student: the network to teach; its feature maps are read by hooks.
        student_backbone: the student's.
        hints: weight of the loss on the feature maps, beside that on the logits; 0 for none.

    Attributes:
        size: side in pixels of the faces that it is given, the largest of its members'.
    """

    def __init__(
        self,
        members: Sequence[Member],
        student: nn.Module,
        student_backbone: Backbone,
        hints: float = 1.0,
    ) -> None:
        super().__init__()
        self.size = max(member.size for member in members)
        self.hints = hints
        self.members = tuple(members)  # no modules of this one, so that they are not saved
        self._scales = [_renormalise(student_backbone, m.backbone) for m in members]
        for member in members:
            member.network.eval().requires_grad_(False)
        self.maps = nn.ModuleList()
        self._own: dict[str, torch.Tensor] = {}
        self._theirs: dict[str, torch.Tensor] = {}
        if hints:
            self._watch(student, student_backbone)

    @property
    def networks(self) -> list[nn.Module]:
        """Its members', in order."""
        return [member.network for member in self.members]

    def _watch(self, student: nn.Module, student_backbone: Backbone) -> None:
        """Read the feature maps of the student and of the first member from now on."""
        first, device = self.members[0], next(student.parameters()).device
        self._theirs = watch(first.network, first.backbone)
        self._own = watch(student, student_backbone)
        probe = torch.zeros(1, 3, 64, 64, device=device)
        mode = student.training
        with torch.no_grad():
            first.network(probe)
            student.eval()(probe)
        student.train(mode)
        self.maps.extend(
            nn.Conv2d(own.shape[1], their.shape[1], 1, device=device)
            for own, their in zip(self._own.values(), self._theirs.values())
        )

    def forward(self, x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """How far the student is from the teacher, on the batch that it was just given.

        Args:
            x: faces at the teacher's size, (N, 3, size, size), normalised for the student, which
                was given a smaller copy; see `shrink`.
            logits: what the student said, (N,).
        """
        loss = binary_cross_entropy_with_logits(logits, self.answer(x).sigmoid())
        for convert, own, their in zip(self.maps, self._own.values(), self._theirs.values()):
            wanted = their.float()
            spread = wanted.std((0, 2, 3), keepdim=True) + 1e-3
            wanted = (wanted - wanted.mean((0, 2, 3), keepdim=True)) / spread
            given = convert(own).float()
            if given.shape != wanted.shape:
                given = interpolate(given, wanted.shape[2:], mode="bilinear")
            # 1 where nothing is explained; dead channels of the teacher count as none.
            loss = loss + self.hints * mse_loss(given, wanted) / len(self.maps)
        return loss

    @torch.no_grad()
    def answer(self, x: torch.Tensor) -> torch.Tensor:
        """The mean of its members' calibrated logits, (N,), of faces as `forward` is given them."""
        answers = []
        for member, (scale, shift) in zip(self.members, self._scales):
            face = shrink(x, member.size) * scale.to(x.device) + shift.to(x.device)
            with autocast("auto", x.device, member.backbone):
                logits = member.network(face).float().flatten()
            answers.append(member.calibration.calibrate(logits))
        return torch.stack(answers).mean(0)


def _renormalise(student: Backbone, teacher: Backbone) -> tuple[torch.Tensor, torch.Tensor]:
    """What the student's tensor is multiplied by, and what is then added, for the teacher's."""
    mean, std, own_mean, own_std = (
        torch.tensor(values)[:, None, None]
        for values in (teacher.mean, teacher.std, student.mean, student.std)
    )
    return own_std / std, (own_mean - mean) / std


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
