"""The recipes: one small file a model.

A file holds a `RECIPE`, or, where a model was made by several runs of which each starts from the
one before, `RUNS`: their names and recipes in order.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from fakeface.types import FakefaceError
from train.augment.degrade import Augmentation

Tune = Literal["all", "norms"]

# Fields under older names, and those that are gone with what they were when nothing was asked.
_RENAMED = {"local": "patch_loss"}
_GONE = {"resample_share": 0.0, "window": 0}


class UnknownRecipe(FakefaceError):
    """There is no recipe of that name."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One step of progressive unfreezing.

    Attributes:
        name: for the log.
        stages: how many stages, counted from the last, train beside the head.
        epochs: at most; of `Recipe.samples` draws each.
        lr: peak learning rate of the head.
        tune: what of these stages trains: everything ("all"), or the norm layers alone ("norms";
            Yermakov et al., "Deepfake Detection that Generalizes Across Benchmarks", WACV 2026).
    """

    name: str
    stages: int
    epochs: int
    lr: float
    tune: Tune = "all"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a training run does, apart from the data.

    Attributes:
        backbone: a key of `fakeface.models.backbones.BACKBONES`.
        size, margin: of the network's input; see `fakeface.models.preprocess`.
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
        blend_share: share of self-blended photographs among the fakes; see `train.augment.blend`.
        swap_blends: share of these that get another person's face; it takes YuNet's landmarks.
        by_family: draw all families of a class equally often, and not sources by their size.
        paired: put a photograph of the same clip, or else of the same source, beside each fake, in
            one batch; see `train.datasets.epochs.pair`.
        mixup: two pictures and their labels are mixed by a draw of Beta(mixup, mixup) (Zhang et
            al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018); 0 for none.
        patience: epochs without a better validation AUC before a phase ends.
        patch_loss: weight of the loss at each place of the last map; 0 for none. See
            `train.training.patch_loss`.
        hypersphere_loss: weight of the loss on the directions of the features; 0 for none. See
            `train.training.hypersphere`.
        teaching: share of the loss that a teacher sets, where the run has one; see
            `train.training.distil`.
        hints: weight in it of the teacher's feature maps; 0 for its logits alone.
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
    swap_blends: float = 0.0
    by_family: bool = False
    paired: bool = False
    mixup: float = 0.0
    patience: int = 5
    patch_loss: float = 0.0
    hypersphere_loss: float = 0.0
    teaching: float = 0.5
    hints: float = 1.0
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)


def load_recipe(name: str) -> Recipe:
    """The recipe of a run, by its name or by the path of a file that holds a RECIPE.

    Raises:
        UnknownRecipe: says which there are.
    """
    path = Path(name)
    if path.suffix == ".py" and path.is_file():
        found = _runs(_import_file(path))
        return next(iter(found.values()))
    known = runs()
    if name not in known:
        raise UnknownRecipe(
            f"There is no recipe {name}; give a file, or one of {', '.join(known)}."
        )
    return known[name]


def runs() -> dict[str, Recipe]:
    """Every recipe of this folder, by the name of its run."""
    files = sorted(Path(__file__).parent.glob("[a-z]*.py"))
    return {
        name: recipe
        for file in files
        for name, recipe in _runs(importlib.import_module(f"{__name__}.{file.stem}")).items()
    }


def _runs(module: ModuleType) -> Mapping[str, Recipe]:
    several: Mapping[str, Recipe] | None = getattr(module, "RUNS", None)
    return several or {module.__name__.rpartition(".")[2]: module.RECIPE}


def _import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UnknownRecipe(f"{path} is no Python file; give one that holds a RECIPE.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def complete(written: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe as it was once written down, as it would be written today.

    Fields that came later are at their defaults, renamed ones have their new names, and those that
    are gone are left out unless something was asked of them.
    """
    now = {_RENAMED.get(key, key): value for key, value in written.items()}
    now = {key: value for key, value in now.items() if key not in _GONE or value != _GONE[key]}
    now = {**dataclasses.asdict(Recipe(backbone="", phases=())), **now}
    phases = type(now["phases"])({"tune": "all", **phase} for phase in now["phases"])
    augmentation = {**dataclasses.asdict(Augmentation()), **now["augmentation"]}
    return {**now, "phases": phases, "augmentation": augmentation}


def change(recipe: Recipe, settings: Sequence[str]) -> Recipe:
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
        own = own if nested else _RENAMED.get(own, own)
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
        if nested:
            own, value = "augmentation", dataclasses.replace(recipe.augmentation, **{own: value})
        recipe = dataclasses.replace(recipe, **{own: value})
    return recipe
