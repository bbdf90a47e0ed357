"""The light model in three minutes on one core, for experiments that train it many times over."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="mobilenetv2_100",
    size=128,
    samples=3000,
    head_samples=3000,
    phases=(
        Phase("last stage", stages=1, epochs=1, lr=1e-3),
        Phase("all layers", stages=5, epochs=2, lr=1e-3),
    ),
    ema=0.99,
)
