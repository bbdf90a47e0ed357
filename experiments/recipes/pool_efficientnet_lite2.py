"""EfficientNet-Lite2 on the pool, from ImageNet weights, at sizes that two CPU cores can train.

Each run starts from the best weights of the one before (`--init runs/BEFORE/best.safetensors`);
the third starts from the mean of the first two (`python -m train soup`), which is kept in
experiments/efficientnet_lite2.
"""

import dataclasses

from train.augment.degrade import Augmentation
from train.training.recipes import Phase, Recipe

_SMALL = Recipe(
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
RUNS = {
    "pool_efficientnet_lite2": _SMALL,
    "pool_efficientnet_lite2_larger": dataclasses.replace(
        _SMALL, size=224, phases=(Phase("all layers", stages=5, epochs=2, lr=3e-4),), seed=1
    ),
    "pool_efficientnet_lite2_longer": dataclasses.replace(
        _SMALL,
        phases=(Phase("all layers", stages=5, epochs=9, lr=5e-4),),
        augmentation=Augmentation(webp=0.2, avif=0.06),
        swap_blends=0.5,
        seed=2,
    ),
    "pool_efficientnet_lite2_192": dataclasses.replace(
        _SMALL,
        size=192,
        phases=(Phase("all layers", stages=5, epochs=3, lr=2.5e-4),),
        augmentation=Augmentation(webp=0.2, avif=0.06),
        swap_blends=0.5,
        seed=3,
    ),
}
