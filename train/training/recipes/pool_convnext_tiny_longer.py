"""ConvNeXt-Tiny, on from what `pool_convnext_tiny` made: small pictures, many steps, a teacher."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="convnext_tiny",
    size=96,
    batch=32,
    phases=(Phase("all layers", stages=5, epochs=10, lr=1e-3),),
    depth_decay=1.0,
    weight_decay=0.05,
    ema=0.998,
    teaching=0.6,
    seed=3,
)
