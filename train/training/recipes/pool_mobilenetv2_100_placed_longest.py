"""The light model, on from what `pool_mobilenetv2_100_placed_longer` made, at the same rate."""

import dataclasses

from train.training.recipes import Phase
from train.training.recipes.pool_mobilenetv2_100_placed_longer import RECIPE as LONGER

RECIPE = dataclasses.replace(
    LONGER,
    samples=8000,
    phases=(Phase("all layers", stages=5, epochs=6, lr=2.5e-4),),
    patience=6,
    seed=7,
)
