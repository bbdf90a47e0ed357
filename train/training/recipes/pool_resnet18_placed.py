"""ResNet-18, on from `pool_resnet18_taught`, with the light model of 0.4.0 as its teacher.

As in `pool_mobilenetv2_100_placed`, some fakes are self-blended, and each place has a loss.
"""

import dataclasses

from train.training.recipes import Phase
from train.training.recipes.pool_resnet18_taught import RECIPE as TAUGHT

RECIPE = dataclasses.replace(
    TAUGHT,
    phases=(Phase("all layers", stages=5, epochs=4, lr=4e-4),),
    ema=0.998,
    blend_share=0.25,
    local=0.5,
    seed=6,
)
