"""From `pool_mobilenetv2_100_larger`, three more epochs at a higher rate."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="mobilenetv2_100",
    size=224,
    samples=7000,
    phases=(Phase("all layers", stages=5, epochs=3, lr=4e-4),),
    seed=2,
)
