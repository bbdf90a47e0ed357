"""The ResNet-18 that 0.10.2 ships: four runs, each from the one before.

The first starts from ImageNet weights, which at the time were at hand up to the third stage alone;
each other one from the best weights of the run before it (`--init runs/BEFORE/best.safetensors`).
"""

from train.augment.degrade import Augmentation
from train.training.recipes import Phase, Recipe

RUNS = {
    # At a size that two CPU cores train in a quarter of an hour.
    "pool_resnet18": Recipe(
        backbone="resnet18",
        size=160,
        phases=(
            Phase("last stage", stages=1, epochs=1, lr=6e-4),
            Phase("all layers", stages=5, epochs=5, lr=6e-4),
        ),
        blend_share=0.12,
    ),
    # --teacher runs/pool_mobilenetv2_100_larger
    "pool_resnet18_taught": Recipe(
        backbone="resnet18",
        size=192,
        phases=(Phase("all layers", stages=5, epochs=5, lr=6e-4),),
        seed=1,
    ),
    # Self-blended faces and the patch loss; --teacher runs/pool_mobilenetv2_100_placed_longer
    "pool_resnet18_placed": Recipe(
        backbone="resnet18",
        size=192,
        phases=(Phase("all layers", stages=5, epochs=4, lr=4e-4),),
        ema=0.998,
        blend_share=0.25,
        patch_loss=0.5,
        seed=6,
    ),
    # What two others say together, on the pool's fourth edition; --init
    # checkpoints/resnet18/model.safetensors --teacher checkpoints/mobilenetv2_100
    # experiments/tf_efficientnet_lite2
    "pool_resnet18_distilled": Recipe(
        backbone="resnet18",
        size=192,
        phases=(Phase("all layers", stages=5, epochs=7, lr=5e-4),),
        samples=8000,
        ema=0.998,
        swap_share=0.2,
        blend_share=0.25,
        swap_blends=0.5,
        by_family=True,
        patience=7,
        patch_loss=0.5,
        hints=0.0,
        augmentation=Augmentation(webp=0.2, avif=0.06),
        seed=10,
    ),
}
