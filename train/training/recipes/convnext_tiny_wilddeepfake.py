"""ConvNeXt-Tiny on every sequence of WildDeepfake: a gentler rate towards the stem, more decay."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="convnext_tiny",
    phases=(
        Phase("last stage", stages=1, epochs=2, lr=3e-4),
        Phase("all layers", stages=5, epochs=10, lr=3e-4),
    ),
    samples=20_000,
    batch=32,
    accumulate=2,
    depth_decay=0.75,
    weight_decay=0.05,
    swap_share=0.75,
    blend_share=0.25,
    mixup=0.2,
)
