"""From `pool_resnet18_placed`, without a teacher and in smaller batches."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="resnet18",
    size=192,
    samples=6500,
    batch=32,
    phases=(Phase("all layers", stages=5, epochs=2, lr=4e-4),),
    ema=0.998,
    blend_share=0.25,
    patch_loss=0.5,
    seed=8,
)
