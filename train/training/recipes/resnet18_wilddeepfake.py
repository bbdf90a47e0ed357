"""ResNet-18 on every sequence of WildDeepfake; a quarter of the fakes are blended photographs."""

from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="resnet18",
    phases=(
        Phase("last stage", stages=1, epochs=2, lr=6e-4),
        Phase("all layers", stages=5, epochs=10, lr=6e-4),
    ),
    samples=20_000,
    swap_share=0.75,
    blend_share=0.25,
)
