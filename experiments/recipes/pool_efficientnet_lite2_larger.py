"""From the best weights of pool_efficientnet_lite2, at 224 px."""

import dataclasses

from experiments.recipes import pool_efficientnet_lite2
from train.training.recipes import Phase

RECIPE = dataclasses.replace(
    pool_efficientnet_lite2.RECIPE,
    size=224,
    phases=(Phase("all layers", stages=5, epochs=2, lr=3e-4),),
    seed=1,
)
