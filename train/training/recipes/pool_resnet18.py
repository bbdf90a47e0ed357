"""ResNet-18 on the pool, at a size that two CPU cores train in a quarter of an hour."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="resnet18",
    size=160,
    phases=(
        Phase("last stage", stages=1, epochs=1, lr=6e-4),
        Phase("all layers", stages=5, epochs=5, lr=6e-4),
    ),
    blend_share=0.12,
)
