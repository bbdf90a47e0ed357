"""ResNet-50, on from what `pool_resnet50_larger` made, learning from blended faces and where.

Each step sees a part of the pictures, two thirds as wide: twice as many steps in the same time.
"""

import dataclasses

from train.training.recipes import Phase
from train.training.recipes.pool_resnet50_larger import RECIPE as LARGER

RECIPE = dataclasses.replace(
    LARGER,
    samples=10_000,
    phases=(Phase("all layers", stages=5, epochs=2, lr=3e-4),),
    blend_share=0.25,
    window=128,
    local=0.5,
    seed=6,
)
