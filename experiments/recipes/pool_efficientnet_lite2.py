"""EfficientNet-Lite2 from ImageNet weights, at a size that two CPU cores can train."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="tf_efficientnet_lite2",
    size=160,
    phases=(
        Phase("last stage", stages=1, epochs=1, lr=8e-4),
        Phase("all layers", stages=5, epochs=12, lr=6e-4),
    ),
    ema=0.998,
    swap_share=0.2,
    blend_share=0.25,
    by_family=True,
    patience=20,
    patch_loss=0.4,
)
