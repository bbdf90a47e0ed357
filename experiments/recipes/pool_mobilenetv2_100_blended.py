"""From `pool_mobilenetv2_100_larger`, with self-blended faces and no patch loss."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="mobilenetv2_100",
    size=224,
    samples=6000,
    phases=(Phase("all layers", stages=5, epochs=5, lr=2e-4),),
    ema=0.998,
    blend_share=0.15,
    seed=3,
)
