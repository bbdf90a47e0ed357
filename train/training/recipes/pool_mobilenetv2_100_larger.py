"""The light model, started from what `pool_mobilenetv2_100` made, at its final size."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="mobilenetv2_100",
    size=224,
    samples=7000,
    phases=(Phase("all layers", stages=5, epochs=3, lr=3e-4),),
    seed=1,
)
