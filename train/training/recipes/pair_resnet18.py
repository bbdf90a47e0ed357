"""ResNet-18 on one pair of sources alone (`--only`), for the table across data sets."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="resnet18",
    size=160,
    samples=2500,
    head_samples=2500,
    phases=(
        Phase("last stage", stages=1, epochs=1, lr=1e-3),
        Phase("all layers", stages=5, epochs=4, lr=6e-4),
    ),
)
