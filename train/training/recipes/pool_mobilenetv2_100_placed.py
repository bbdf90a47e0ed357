"""The light model, on from `pool_mobilenetv2_100_settled`, learning from blended faces and where.

A quarter of the fakes are self-blended photographs, and each place of the last map has a loss.
"""

import dataclasses

from train.training.recipes import Phase
from train.training.recipes.pool_mobilenetv2_100_settled import RECIPE as SETTLED

RECIPE = dataclasses.replace(
    SETTLED,
    phases=(Phase("all layers", stages=5, epochs=11, lr=4e-4),),
    patience=11,
    blend_share=0.25,
    local=0.5,
    seed=4,
)
