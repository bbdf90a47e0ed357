"""ResNet-18, started from what `pool_resnet18` made, with the light model as its teacher."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="resnet18",
    size=192,
    phases=(Phase("all layers", stages=5, epochs=5, lr=6e-4),),
    seed=1,
)
