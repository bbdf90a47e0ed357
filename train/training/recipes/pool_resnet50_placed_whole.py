"""ResNet-50, on from what `pool_resnet50_larger` made, from whole pictures and with a teacher.

As `pool_resnet18_placed`: blended faces and a loss at each place. The teacher is the light model
of 0.6.0.
"""

import dataclasses

from train.training.recipes import Phase
from train.training.recipes.pool_resnet50_larger import RECIPE as LARGER

RECIPE = dataclasses.replace(
    LARGER,
    phases=(Phase("all layers", stages=5, epochs=4, lr=2e-4),),
    blend_share=0.25,
    local=0.5,
    seed=7,
)
