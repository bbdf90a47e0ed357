"""DINOv2 ViT-S/14 as the teacher of the smaller networks, in ten minutes on one H100.

The arithmetic. A draw at 224 px is 256 patches and the class token: 12.2 GFLOP forward, 37 with
the backward pass. The head is fitted to 4,096 draws, and the two phases take 12 epochs of 32,768:
393,216 draws, 14.5 PFLOP. Of the 990 TFLOP/s that the card has in bfloat16, a network this small
may get a sixth; then the network takes 90 seconds, and it is the processors that count: a draw
costs them 5.8 ms on one core of an AMD Zen 5 (decoding .5, the rest blends and re-encoding), so 16
cores half as fast as that give 1,400 draws a second, and all of them 290 seconds. Twelve
looks at val, and starting, are to fit into the rest.

A stage is three blocks of the network, so the decay of .8 a stage is .93 a block.
"""

from train.augment.degrade import Augmentation
from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="vit_small_patch14_dinov2",
    phases=(
        Phase("norms", stages=5, epochs=2, lr=1e-3, tune="norms"),
        Phase("all layers", stages=5, epochs=10, lr=2e-4),
    ),
    samples=32_768,
    head_samples=4096,
    batch=128,
    depth_decay=0.8,
    weight_decay=0.05,
    ema=0.998,
    swap_share=0.2,
    blend_share=0.25,
    swap_blends=0.5,
    by_family=True,
    patience=12,
    patch_loss=0.4,
    augmentation=Augmentation(webp=0.2, avif=0.06),
)
