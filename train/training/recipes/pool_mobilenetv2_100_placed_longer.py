"""The light model, on from what `pool_mobilenetv2_100_placed` made, at a lower rate."""

import dataclasses

from train.training.recipes import Phase
from train.training.recipes.pool_mobilenetv2_100_placed import RECIPE as PLACED

RECIPE = dataclasses.replace(
    PLACED, phases=(Phase("all layers", stages=5, epochs=9, lr=2.5e-4),), patience=9, seed=5
)
