"""A loss on the directions of the features: pictures of a class together, all of them apart.

On the unit sphere, alignment is the mean squared distance of two pictures of one class, and
uniformity the logarithm of the mean of exp(-2 d^2) over all pairs at a distance of d (Wang and
Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
Hypersphere", ICML 2020). Without the second, a class would shrink to a point, and what tells one
generator from the other would be lost, which may be what shows the next one. Yermakov et al.,
"Deepfake Detection that Generalizes Across Benchmarks", WACV 2026, use both on networks of which
the norm layers alone are tuned.
"""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

_ALIGNMENT = 0.2  # of the weight of uniformity, as in the work of 2026


def hypersphere_loss(features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Uniformity and a fifth of alignment, of one batch; 0 where it holds no pair.

    Args:
        features: what the head is given, (N, D).
        labels: in [0, 1], (N,); two are of one class if they are on one side of one half.
    """
    if len(features) < 2:
        return 0 * features.sum()
    squared = torch.pdist(normalize(features.float(), dim=1)).square()  # of pairs i < j
    i, j = torch.triu_indices(len(labels), len(labels), 1, device=labels.device)
    fake = labels > 0.5
    alike = fake[i] == fake[j]
    uniformity = (-2 * squared).exp().mean().log()
    alignment = squared[alike].sum() / alike.sum().clamp(min=1)
    return uniformity + _ALIGNMENT * alignment
