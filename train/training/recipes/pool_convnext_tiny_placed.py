"""ConvNeXt-Tiny, on from `pool_convnext_tiny_larger`, learning from blended faces and where.

Each step sees a part of the pictures, three quarters as wide.
"""

import dataclasses

from train.training.recipes import Phase
from train.training.recipes.pool_convnext_tiny_larger import RECIPE as LARGER

RECIPE = dataclasses.replace(
    LARGER,
    samples=9000,
    phases=(Phase("all layers", stages=5, epochs=2, lr=6e-4),),
    blend_share=0.25,
    window=96,
    local=0.5,
    seed=6,
)
