"""The light model, started from what `pool_mobilenetv2_100_larger` made, with blended faces."""

from . import Phase, Recipe

RECIPE = Recipe(
    backbone="mobilenetv2_100",
    size=224,
    samples=7000,
    phases=(Phase("all layers", stages=5, epochs=4, lr=4e-4),),
    blend_share=0.1,
    swap_share=0.2,
    seed=2,
)
