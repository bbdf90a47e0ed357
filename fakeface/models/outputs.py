"""What one pass of a network gives: logits, and the style of a face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


def describe_style(maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """The mean and the standard deviation of each channel of some maps.

    They say how a picture is made and little of what it shows: Huang and Belongie, "Arbitrary
    Style Transfer in Real-time with Adaptive Instance Normalization" (ICCV 2017), carry the style
    of a painting to a photograph by nothing else.

    Args:
        maps: (N, C, H, W) each, of any C, H and W.

    Returns:
        (N, D), float32, where D is twice the sum of all C: for each map first the means, then the
        standard deviations.
    """
    numbers = []
    for each in maps:
        flat = each.float().flatten(2)
        mean = flat.mean(2)
        numbers += [mean, (flat - mean[..., None]).square().mean(2).sqrt()]
    return torch.cat(numbers, dim=1)


class Outputs(nn.Module):
    """A network that also tells the style of what it is shown, by maps that it makes anyway.

    Args:
        network: with timm's `forward_intermediates` and `forward_head`.
        maps: which of its intermediate maps; see `Backbone.style_maps`.
    """

    def __init__(self, network: nn.Module, maps: Sequence[int]) -> None:
        super().__init__()
        self.network: Any = network
        self.maps = list(maps)

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (N, 1) and style (N, D) of a batch (N, 3, S, S), float32."""
        last, maps = self.network.forward_intermediates(batch, indices=self.maps)
        return self.network.forward_head(last).float(), describe_style(maps)

    def style(self, batch: torch.Tensor) -> torch.Tensor:
        """The second of both, in part of the time: the network stops at the last of the maps."""
        maps = self.network.forward_intermediates(
            batch, indices=self.maps, stop_early=True, intermediates_only=True
        )
        return describe_style(maps)
