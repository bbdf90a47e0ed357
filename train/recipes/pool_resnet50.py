"""ResNet-50 on the pool, widened from what `pool_resnet18_taught` made, with a teacher."""

from . import Phase, Recipe

RECIPE = Recipe(
    backbone="resnet50",
    size=192,
    samples=3840,
    phases=(
        Phase("last stage", stages=1, epochs=1, lr=2e-4),
        # Adam moves every zero of the grown layers at this rate, and with it what they carry: at
        # 4e-4 the network forgot nearly everything (train/LOG.md).
        Phase("all layers", stages=5, epochs=2, lr=4e-5),
    ),
    seed=2,
)
