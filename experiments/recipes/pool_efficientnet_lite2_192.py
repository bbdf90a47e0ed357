"""From pool_efficientnet_lite2_longer, at 192 px, with eigenfaces in training."""

import dataclasses

from experiments.recipes import pool_efficientnet_lite2_longer
from train.training.recipes import Phase

RECIPE = dataclasses.replace(
    pool_efficientnet_lite2_longer.RECIPE,
    size=192,
    phases=(Phase("all layers", stages=5, epochs=3, lr=2.5e-4),),
    seed=3,
)
