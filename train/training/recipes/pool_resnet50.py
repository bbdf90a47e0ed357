"""The ResNet-50 that 0.7.0 and 0.8.0 ship: four runs, each from the one before.

No ImageNet weights were at hand. So the first starts as the trained ResNet-18 of the run
`pool_resnet18_taught`, grown by `python -m train net2net`; each other one from the best weights of
the run before it (`--init runs/BEFORE/best.safetensors`). The teacher of the first three is the run
`pool_mobilenetv2_100_larger`, that of the last one the mean of weights that 0.5.0 ships.
"""

from train.training.recipes import Phase, Recipe

RUNS = {
    "pool_resnet50": Recipe(
        backbone="resnet50",
        size=192,
        samples=1920,
        phases=(
            Phase("last stage", stages=1, epochs=1, lr=2e-4),
            Phase("all layers", stages=5, epochs=2, lr=1e-4),
        ),
        seed=2,
    ),
    # Small pictures, many steps.
    "pool_resnet50_longer": Recipe(
        backbone="resnet50",
        size=160,
        samples=6000,
        batch=32,
        phases=(Phase("all layers", stages=5, epochs=9, lr=3e-4),),
        ema=0.998,
        seed=3,
    ),
    # At the final size.
    "pool_resnet50_larger": Recipe(
        backbone="resnet50",
        size=192,
        samples=6000,
        batch=32,
        phases=(Phase("all layers", stages=5, epochs=3, lr=1.5e-4),),
        ema=0.998,
        seed=4,
    ),
    # Self-blended faces among the fakes, and the patch loss.
    "pool_resnet50_placed_whole": Recipe(
        backbone="resnet50",
        size=192,
        samples=6000,
        batch=32,
        phases=(Phase("all layers", stages=5, epochs=4, lr=2e-4),),
        ema=0.998,
        blend_share=0.25,
        patch_loss=0.5,
        seed=7,
    ),
}
