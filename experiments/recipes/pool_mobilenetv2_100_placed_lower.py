"""From the mean of weights that 0.5.0 ships, at a lower rate."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="mobilenetv2_100",
    size=224,
    samples=8000,
    phases=(Phase("all layers", stages=5, epochs=6, lr=1.5e-4),),
    ema=0.998,
    blend_share=0.25,
    patience=6,
    patch_loss=0.5,
    seed=11,
)
