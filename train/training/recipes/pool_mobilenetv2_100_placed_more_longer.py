"""The light model, on from what `pool_mobilenetv2_100_placed_more` made, at a lower rate."""

import dataclasses

from train.training.recipes import Phase
from train.training.recipes.pool_mobilenetv2_100_placed_more import RECIPE as MORE

RECIPE = dataclasses.replace(
    MORE, samples=7500, phases=(Phase("all layers", stages=5, epochs=4, lr=2e-4),), seed=13
)
