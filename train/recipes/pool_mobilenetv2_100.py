"""The light model on the pool: an hour and a half on two CPU cores."""

from . import Phase, Recipe

RECIPE = Recipe(
    backbone="mobilenetv2_100",
    size=224,
    phases=(
        Phase("last stage", stages=1, epochs=2, lr=1e-3, size=192),
        Phase("all layers", stages=5, epochs=13, lr=1e-3, size=192),
        Phase("all layers, larger", stages=5, epochs=3, lr=3e-4),
    ),
)
