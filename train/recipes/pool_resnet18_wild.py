"""ResNet-18, started from what `pool_resnet18` made, at its final size."""

from . import Phase, Recipe

RECIPE = Recipe(
    backbone="resnet18",
    size=192,
    phases=(Phase("all layers", stages=5, epochs=5, lr=4e-4),),
    blend_share=0.12,
    seed=1,
)
