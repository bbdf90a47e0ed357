"""Not only whether, but where: a loss at each place of a network's last map.

A photograph is real at each place, a generator made its picture at each place, and of a
self-blended face the mask says which were changed: dozens of labels a picture, and not one.
Networks that judge patches carry over to other generators (Chai et al., "What Makes Fake Images
Detectable? Understanding Properties that Generalize", ECCV 2020), and those that must show the
blended region to other swaps (Li et al., "Face X-ray for More General Face Forgery Detection",
CVPR 2020). Where each place counts, a part of a picture can be learnt from too, at less cost.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, binary_cross_entropy_with_logits

STRIDE = 32  # pixels of the input a place of the last map, in every backbone


class Everywhere(nn.Module):
    """A network whose own head judges each place of its last map too; it has no weights more."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of a batch (N, 3, S, S): of the pictures (N,) and of their places (N, H, W)."""
        maps = self.network.forward_features(x)  # type: ignore[operator]
        count, channels, height, width = maps.shape
        places = maps.permute(0, 2, 3, 1).reshape(-1, channels, 1, 1)
        whole = self.network.forward_head(maps)  # type: ignore[operator]
        local = self.network.forward_head(places)  # type: ignore[operator]
        return whole.float().flatten(), local.float().view(count, height, width)


def local_loss(logits: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Cross-entropy over the places of which something is known; 0 where nothing is.

    Args:
        logits: (N, H, W).
        where: the share of each place that was made, (N, G, G), G at least H and W; a picture of
            NaN if nothing is known of it.
    """
    target = adaptive_avg_pool2d(where, list(logits.shape[1:]))
    known = ~target.isnan()
    if not known.any():
        return 0 * logits.sum()
    return binary_cross_entropy_with_logits(logits[known], target[known])


def window(
    x: torch.Tensor, where: torch.Tensor, side: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same random part of each picture of a batch, as sharp as the whole.

    Args:
        x: (N, 3, S, S).
        where: what is known of their places, (N, G, G), G at least S / 32; see `local_loss`.
        side: of the part, in pixels; like S a multiple of 32, the stride of all backbones.
        rng: chooses the part.

    Returns:
        The parts (N, 3, side, side) and what is known of their places (N, side / 32, side / 32).

    Raises:
        ValueError: there is no such part, or it would cut places in two.
    """
    if side % STRIDE or x.shape[-1] % STRIDE or not 0 < side <= x.shape[-1]:
        raise ValueError(
            f"A window of {side} pixels does not fit a picture of {x.shape[-1]}; both must be "
            f"multiples of {STRIDE}, and the window no larger."
        )
    places, kept = x.shape[-1] // STRIDE, side // STRIDE
    top, left = rng.integers(places - kept + 1, size=2)
    known = adaptive_avg_pool2d(where, places)[:, top : top + kept, left : left + kept]
    top, left = top * STRIDE, left * STRIDE
    return x[..., top : top + side, left : left + side], known
