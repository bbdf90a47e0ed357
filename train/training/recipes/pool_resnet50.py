"""ResNet-50 on the pool, widened from what `pool_resnet18_taught` made, with a teacher."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="resnet50",
    size=192,
    samples=1920,
    phases=(
        Phase("last stage", stages=1, epochs=1, lr=2e-4),
        Phase("all layers", stages=5, epochs=2, lr=1e-4),
    ),
    seed=2,
)
