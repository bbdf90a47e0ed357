"""EfficientNet-Lite2 on the pool, from ImageNet weights, at sizes that two CPU cores can train.

The second run starts from the best weights of the first (`--init runs/BEFORE/best.safetensors`).
The mean of both (`python -m train soup`) lies in experiments/efficientnet_lite2; it is not shipped
(train/LOG.md).
"""

import dataclasses

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
}
