"""ConvNeXt-Tiny, on from what `pool_convnext_tiny_longer` made, with larger pictures."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="convnext_tiny",
    size=128,
    samples=7000,
    batch=32,
    phases=(Phase("all layers", stages=5, epochs=6, lr=6e-4),),
    depth_decay=1.0,
    weight_decay=0.05,
    ema=0.998,
    seed=4,
)
