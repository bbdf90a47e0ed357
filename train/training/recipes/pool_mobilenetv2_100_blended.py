"""`pool_mobilenetv2_100_settled`, changed in one thing: self-blended faces among the fakes."""

import dataclasses

from train.training.recipes.pool_mobilenetv2_100_settled import RECIPE as SETTLED

RECIPE = dataclasses.replace(SETTLED, blend_share=0.15)
