"""One small file an experiment, each holding a `RECIPE`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from train.augment.degrade import Augmentation


@dataclass(frozen=True, slots=True)
class Phase:
    """One step of progressive unfreezing.

    Attributes:
        name: for the log.
        stages: how many stages, counted from the last, train beside the head.
        epochs: at most; of `Recipe.samples` draws each.
        lr: peak learning rate of the head.
    """

    name: str
    stages: int
    epochs: int
    lr: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a training run does, apart from the data.

    Attributes:
        backbone: a key of `fakeface.backbones.BACKBONES`.
        size, margin: of the network's input; see `fakeface.preprocess`.
        samples: draws an epoch.
        head_samples: draws whose frozen features the head is fitted to in the first phase.
        phases: after the head.
        batch: pictures a forward pass.
        accumulate: forward passes a step of the optimiser.
        train_limit: at most so many different training pictures, drawn by the seed; None for all.
        depth_decay: factor of the learning rate from a stage to the one before it.
        weight_decay: of AdamW.
        smoothing: labels become this and one minus this.
        ema: decay a step of the averaged weights, which are what is kept.
        swap_share: share of face swaps among the fakes drawn.
        blend_share: share of self-blended photographs among the fakes; see `train.blend`.
        resample_share: share of resampled photographs among the fakes; see `train.resample`.
        by_family: draw all families of a class equally often, and not sources by their size.
        mixup: two pictures and their labels are mixed by a draw of Beta(mixup, mixup) (Zhang et
            al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018); 0 for none.
        patience: epochs without a better validation AUC before a phase ends.
        window: side of the random part of the input that a step sees, a multiple of 32; 0 for all
            of it. See `train.places.window`; not with a teacher, who looks at the whole.
        local: weight of the loss at each place of the last map; see `train.places`.
        teaching: share of the loss that a teacher sets, where the run has one; see `train.distil`.
        seed: of everything.
    """

    backbone: str
    phases: tuple[Phase, ...]
    size: int = 224
    margin: float = 0.3
    samples: int = 8000
    head_samples: int = 8000
    batch: int = 64
    accumulate: int = 1
    train_limit: int | None = None
    depth_decay: float = 0.85
    weight_decay: float = 0.02
    smoothing: float = 0.02
    ema: float = 0.995
    swap_share: float = 0.15
    blend_share: float = 0.0
    resample_share: float = 0.0
    by_family: bool = False
    mixup: float = 0.0
    patience: int = 5
    window: int = 0
    local: float = 0.0
    teaching: float = 0.5
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)


def complete(written: dict[str, Any]) -> dict[str, Any]:
    """A recipe as it was once written down, with every field that came later at its default."""
    return {**dataclasses.asdict(Recipe(backbone="", phases=())), **written}


def changed(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """A recipe with single fields set, for experiments that differ in one thing.

    Args:
        settings: FIELD=VALUE each, the value in JSON; augmentation.FIELD for one of those.

    Raises:
        ValueError: there is no such field, or its value is of another type.
    """
    for setting in settings:
        name, _, text = setting.partition("=")
        nested = name.startswith("augmentation.")
        owner = recipe.augmentation if nested else recipe
        own = name.removeprefix("augmentation.")
        try:
            value, before = json.loads(text), getattr(owner, own)
        except (json.JSONDecodeError, AttributeError):
            raise ValueError(
                f"{setting!r} sets nothing; write FIELD=VALUE with a field of the recipe."
            ) from None
        if isinstance(before, tuple) and isinstance(value, list):
            value = tuple(value)
        if isinstance(before, float) and isinstance(value, int):
            value = float(value)
        if own == "phases" or (type(value) is not type(before) and before is not None):
            raise ValueError(f"{name} is {before} here and cannot be set to {text}.")
        part = dataclasses.replace(owner, **{own: value})
        recipe = dataclasses.replace(recipe, augmentation=part) if nested else part
    return recipe
