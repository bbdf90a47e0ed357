"""ConvNeXt-Tiny on the pool, from random weights with a teacher: all layers, there is no start."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="convnext_tiny",
    size=128,
    head_samples=1024,
    phases=(Phase("all layers", stages=5, epochs=4, lr=8e-4),),
    depth_decay=1.0,
    weight_decay=0.05,
    teaching=0.6,
)
