"""What the five published experiments have in common; ../README.md says what is different here."""

from __future__ import annotations

from train.augment.degrade import Augmentation
from train.training.recipes import Phase, Recipe

MIRRORED_ONLY = Augmentation(shift=0.0, zoom=1.0, turn=(0.0, 0.0), clean=1.0, colour=0.0)


def reproduce(backbone: str, *, swaps: bool) -> Recipe:
    """A recipe with the published numbers: batch, learning rate, epochs, decay, pictures.

    Args:
        swaps: the fakes of the data set are face swaps, all of them or none.
    """
    return Recipe(
        backbone=backbone,
        phases=(
            Phase("last stage", stages=1, epochs=5, lr=1e-4),
            Phase("all layers", stages=5, epochs=5, lr=1e-4),
        ),
        train_limit=4000,
        samples=4000,
        head_samples=4000,
        batch=32,
        weight_decay=1e-5,
        depth_decay=1.0,
        smoothing=0.0,
        ema=0.0,
        swap_share=1.0 if swaps else 0.0,
        patience=10,
        augmentation=MIRRORED_ONLY,
    )
