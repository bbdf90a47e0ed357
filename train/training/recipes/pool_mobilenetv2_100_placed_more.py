"""The light model, on from the mean that 0.5.0 ships, with more of its fakes self-blended."""

import dataclasses

from train.training.recipes import Phase
from train.training.recipes.pool_mobilenetv2_100_placed_longest import RECIPE as LONGEST

RECIPE = dataclasses.replace(
    LONGEST,
    samples=7000,
    phases=(Phase("all layers", stages=5, epochs=5, lr=2.5e-4),),
    blend_share=0.35,
    seed=12,
)
