"""DINOv2 ViT-S/14 of which the norm layers alone are tuned: 19,200 of 22 million parameters.

After Yermakov et al., "Deepfake Detection that Generalizes Across Benchmarks", WACV 2026: features
on a sphere, and real and fake of one source in one batch. Their head reads the class token of
length one; this one reads the mean of the patches as it is, so that each place can be judged.
"""

from train.augment.degrade import Augmentation
from train.training.recipes import Phase, Recipe

RECIPE = Recipe(
    backbone="vit_small_patch14_dinov2",
    phases=(Phase("norms", stages=5, epochs=8, lr=3e-4, tune="norms"),),
    weight_decay=0.0,
    swap_share=0.2,
    blend_share=0.25,
    swap_blends=0.5,
    by_family=True,
    paired=True,
    hypersphere_loss=0.5,
    augmentation=Augmentation(webp=0.2, avif=0.06),
)
