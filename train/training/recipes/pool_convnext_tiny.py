"""The ConvNeXt-Tiny that 0.8.0 ships: four runs, each from the one before.

No ImageNet weights were at hand, so the first starts from random weights (`--init random`) and
opens all layers at once; each other one starts from the best weights of the run before it (`--init
runs/BEFORE/best.safetensors`). All of them have a teacher.
"""

import dataclasses

from train.training.recipes import Phase, Recipe

_CONVNEXT = Recipe(
    backbone="convnext_tiny",
    size=128,
    phases=(),
    depth_decay=1.0,
    weight_decay=0.05,
)
_SMALL_BATCHES = dataclasses.replace(_CONVNEXT, batch=32, ema=0.998)

RUNS = {
    # --teacher runs/pool_mobilenetv2_100_larger
    "pool_convnext_tiny": dataclasses.replace(
        _CONVNEXT,
        head_samples=1024,
        phases=(Phase("all layers", stages=5, epochs=4, lr=8e-4),),
        teaching=0.6,
    ),
    # Small pictures, many steps; --teacher runs/pool_resnet18_taught
    "pool_convnext_tiny_longer": dataclasses.replace(
        _SMALL_BATCHES,
        size=96,
        phases=(Phase("all layers", stages=5, epochs=10, lr=1e-3),),
        teaching=0.6,
        seed=3,
    ),
    # At the final size; --teacher runs/pool_resnet18_taught
    "pool_convnext_tiny_larger": dataclasses.replace(
        _SMALL_BATCHES,
        samples=7000,
        phases=(Phase("all layers", stages=5, epochs=6, lr=6e-4),),
        seed=4,
    ),
    # Self-blended faces and the patch loss; its teacher is the mean of weights that 0.5.0 ships.
    "pool_convnext_tiny_placed_whole": dataclasses.replace(
        _SMALL_BATCHES,
        phases=(Phase("all layers", stages=5, epochs=5, lr=4e-4),),
        blend_share=0.25,
        patch_loss=0.5,
        seed=7,
    ),
}
