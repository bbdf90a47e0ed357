"""The light model, on from the mean that 0.5.0 ships, at a lower rate than the runs before it."""

import dataclasses

from train.training.recipes import Phase
from train.training.recipes.pool_mobilenetv2_100_placed_longest import RECIPE as LONGEST

RECIPE = dataclasses.replace(
    LONGEST,
    phases=(Phase("all layers", stages=5, epochs=6, lr=1.5e-4),),
    seed=11,
)
