"""From the mean of weights that 0.5.0 ships, with more of the fakes self-blended."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="mobilenetv2_100",
    size=224,
    samples=7000,
    phases=(Phase("all layers", stages=5, epochs=5, lr=2.5e-4),),
    ema=0.998,
    blend_share=0.35,
    patience=6,
    patch_loss=0.5,
    seed=12,
)
