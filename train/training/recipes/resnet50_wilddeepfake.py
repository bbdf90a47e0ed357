"""ResNet-50 on every sequence of WildDeepfake; two passes a step, to fit a small GPU."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="resnet50",
    phases=(
        Phase("last stage", stages=1, epochs=2, lr=4e-4),
        Phase("all layers", stages=5, epochs=10, lr=4e-4),
    ),
    samples=20_000,
    batch=32,
    accumulate=2,
    swap_share=0.75,
    blend_share=0.25,
    mixup=0.2,
)
