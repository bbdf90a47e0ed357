"""From `pool_mobilenetv2_100_placed_more`, at a lower rate."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="mobilenetv2_100",
    size=224,
    samples=7500,
    phases=(Phase("all layers", stages=5, epochs=4, lr=2e-4),),
    ema=0.998,
    blend_share=0.35,
    patience=6,
    patch_loss=0.5,
    seed=13,
)
