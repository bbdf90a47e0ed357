"""ResNet-18, on from what `pool_resnet18_placed` made, without a teacher and in smaller batches."""

import dataclasses

from train.training.recipes import Phase
from train.training.recipes.pool_resnet18_placed import RECIPE as PLACED

RECIPE = dataclasses.replace(
    PLACED,
    samples=6500,
    batch=32,
    phases=(Phase("all layers", stages=5, epochs=2, lr=4e-4),),
    seed=8,
)
