"""The light model on the pool, at a size that two CPU cores train in an hour."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="mobilenetv2_100",
    size=192,
    phases=(
        Phase("last stage", stages=1, epochs=2, lr=1e-3),
        Phase("all layers", stages=5, epochs=13, lr=1e-3),
    ),
)
