"""ResNet-50, on from what `pool_resnet50_longer` made, with larger pictures."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="resnet50",
    size=192,
    samples=6000,
    batch=32,
    phases=(Phase("all layers", stages=5, epochs=3, lr=1.5e-4),),
    ema=0.998,
    seed=4,
)
