"""The light model (MobileNetV2): seven runs, each from the one before.

The first starts from ImageNet weights (`--init pretrained`), each other one from the best weights
of the run before it (`--init runs/BEFORE/best.safetensors`). 0.5.0 to 0.10.0 ship the mean of the
weights of two, `python -m train soup runs/..._placed_longer runs/..._placed_longest`. From that the
last run starts (`--init checkpoints/mobilenetv2_100/model.safetensors`).
"""

import dataclasses

from train.augment.degrade import Augmentation
from train.training.recipes import Phase, Recipe

_AT_224 = Recipe(backbone="mobilenetv2_100", size=224, phases=())
_WITH_BLENDS = dataclasses.replace(
    _AT_224, samples=6000, ema=0.998, blend_share=0.25, patch_loss=0.5
)

RUNS = {
    # At a size that two CPU cores train in an hour.
    "pool_mobilenetv2_100": dataclasses.replace(
        _AT_224,
        size=192,
        phases=(
            Phase("last stage", stages=1, epochs=2, lr=1e-3),
            Phase("all layers", stages=5, epochs=13, lr=1e-3),
        ),
    ),
    # At the final size.
    "pool_mobilenetv2_100_larger": dataclasses.replace(
        _AT_224, samples=7000, phases=(Phase("all layers", stages=5, epochs=3, lr=3e-4),), seed=1
    ),
    # At a lower rate.
    "pool_mobilenetv2_100_settled": dataclasses.replace(
        _AT_224,
        samples=6000,
        phases=(Phase("all layers", stages=5, epochs=5, lr=2e-4),),
        ema=0.998,
        seed=3,
    ),
    # Self-blended faces among the fakes, and the patch loss.
    "pool_mobilenetv2_100_placed": dataclasses.replace(
        _WITH_BLENDS,
        phases=(Phase("all layers", stages=5, epochs=11, lr=4e-4),),
        patience=11,
        seed=4,
    ),
    "pool_mobilenetv2_100_placed_longer": dataclasses.replace(
        _WITH_BLENDS,
        phases=(Phase("all layers", stages=5, epochs=9, lr=2.5e-4),),
        patience=9,
        seed=5,
    ),
    "pool_mobilenetv2_100_placed_longest": dataclasses.replace(
        _WITH_BLENDS,
        samples=8000,
        phases=(Phase("all layers", stages=5, epochs=6, lr=2.5e-4),),
        patience=6,
        seed=7,
    ),
    # What the light model of 0.10.0 and EfficientNet-Lite2 say together, on the pool's fourth
    # edition; --teacher checkpoints/mobilenetv2_100 experiments/tf_efficientnet_lite2
    "pool_mobilenetv2_100_distilled": dataclasses.replace(
        _WITH_BLENDS,
        samples=8000,
        phases=(Phase("all layers", stages=5, epochs=10, lr=5e-4),),
        swap_share=0.2,
        swap_blends=0.5,
        by_family=True,
        patience=10,
        hints=0.0,
        augmentation=Augmentation(webp=0.2, avif=0.06),
        seed=8,
    ),
}
