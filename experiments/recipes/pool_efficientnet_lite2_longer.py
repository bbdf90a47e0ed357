"""From the mean of the first two runs, with blends of two people, WebP and AVIF."""

import dataclasses

from experiments.recipes import pool_efficientnet_lite2
from train.augment.degrade import Augmentation
from train.training.recipes import Phase

RECIPE = dataclasses.replace(
    pool_efficientnet_lite2.RECIPE,
    phases=(Phase("all layers", stages=5, epochs=9, lr=5e-4),),
    augmentation=Augmentation(webp=0.2, avif=0.06),
    swap_blends=0.5,
    seed=2,
)
