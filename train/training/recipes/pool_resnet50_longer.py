"""ResNet-50, on from what `pool_resnet50` made, with the same teacher."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="resnet50",
    size=160,
    samples=6000,
    batch=32,
    phases=(Phase("all layers", stages=5, epochs=9, lr=3e-4),),
    ema=0.998,
    seed=3,
)
