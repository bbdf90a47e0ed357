"""A loss at each place of a network's last map, beside that of the whole picture.

A photograph is real at each place, a generator made its picture at each place, and of a
self-blended face the mask says which places were changed: dozens of labels a picture in place of
one. Networks that judge patches carry over to other generators (Chai et al., "What Makes Fake
Images Detectable? Understanding Properties that Generalize", ECCV 2020), and those that must show
the blended region to other swaps (Li et al., "Face X-ray for More General Face Forgery Detection",
CVPR 2020).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, binary_cross_entropy_with_logits

from fakeface.models.backbones import feature_map


class PatchLogits(nn.Module):
    """A network whose own head judges each place of its last map too; it has no weights more."""

    def __init__(self, network: nn.Module, prefix_tokens: int = 0) -> None:
        super().__init__()
        self.network: Any = network
        self.prefix_tokens = prefix_tokens

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What is known of a batch (N, 3, S, S).

        Returns:
            Logits of the pictures (N,) and of their places (N, H, W), and the features that the
            head is given (N, D).
        """
        maps = self.network.forward_features(x)
        features = self.network.forward_head(maps, pre_logits=True)
        whole = self.network.get_classifier()(features)
        if maps.ndim == 3:  # tokens, of whose patches the head reads the mean
            places = feature_map(self.network.head(maps), self.prefix_tokens)[:, 0]
        else:
            count, channels, height, width = maps.shape
            each = maps.permute(0, 2, 3, 1).reshape(-1, channels, 1, 1)
            places = self.network.forward_head(each).view(count, height, width)
        return whole.float().flatten(), places.float(), features.float()


def patch_loss(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Cross-entropy over the places of which something is known; 0 where nothing is.

    Args:
        logits: (N, H, W).
        mask: the share of each place that was made, (N, G, G), G at least H and W; a picture of
            NaN if nothing is known of it.
    """
    target = adaptive_avg_pool2d(mask, (logits.shape[1], logits.shape[2]))
    known = ~target.isnan()
    if not known.any():
        return 0 * logits.sum()
    return binary_cross_entropy_with_logits(logits[known], target[known])
