"""What was measured of each installed model, for people.

Everything is read from a model's folder, as it was stored there; nothing is measured anew, and no
model is loaded.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open

from fakeface.contract import ModelResult
from fakeface.models.card import WEIGHTS, Card, read_metrics
from fakeface.models.checkpoints import read_reference
from fakeface.models.evaluation_sets import FITTED, set_title
from fakeface.types import CheckpointError

_STATISTICS = ("running_mean", "running_var")  # of batch normalisation: buffers, not parameters
LEAST_AUC: Final = 0.9  # on test; below it, a model misleads more than a second opinion helps


@dataclass(frozen=True, slots=True)
class Source:
    """How often one source's faces, all photographs or all fakes, were called AI-generated.

    Attributes:
        source: its name.
        set: the short title of the set of pictures.
        kind: "photographs" or "fakes".
        n: faces.
        value: the share of them that was called AI-generated, in [0, 1].
    """

    source: str
    set: str
    kind: str
    n: int
    value: float


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of the zoo.

    Attributes:
        card: its card.
        facts: see `describe`.
        plots: see `find_plots`.
        sources: of every set but those on which something was chosen.
        misses: the sources of fakes of which it catches the smallest part, under one half.
        false_alarms: the sources of photographs of which it calls the largest part AI-generated.
        operating_points: see `operating_points`.
        problems: sentences on files that are damaged and were left out.
    """

    card: Card
    facts: ModelResult
    plots: Mapping[str, Path]
    sources: tuple[Source, ...]
    misses: tuple[Source, ...]
    false_alarms: tuple[Source, ...]
    operating_points: Mapping[str, Any] | None
    problems: tuple[str, ...] = ()


def make_entry(card: Card, folder: Path, *, least: int = 20, most: int = 5) -> Entry:
    """All that is known of one model.

    Args:
        card: of the model.
        folder: where it lies.
        least: sources of fewer faces are not called a failure: chance decides there.
        most: how many failures of a kind.
    """
    problems = []
    metrics = dict(card.metrics)
    try:
        metrics |= read_metrics(folder, card)
    except CheckpointError as error:
        problems.append(f"{_without(folder, error)} Only the gist of what was measured is shown.")
    try:
        read_reference(folder, card)
    except CheckpointError as error:
        problems.append(f"{_without(folder, error)} The model gives no out-of-distribution score.")
    every = list_sources(metrics)
    large = sorted((s for s in every if s.n >= least), key=lambda s: s.value)
    misses = [s for s in large if s.kind == "fakes" and s.value < 0.5]
    false_alarms = [s for s in reversed(large) if s.kind == "photographs" and s.value > 0]
    return Entry(
        card=card,
        facts=describe(card, folder),
        plots=find_plots(card, folder),
        sources=every,
        misses=tuple(misses[:most]),
        false_alarms=tuple(false_alarms[:most]),
        operating_points=operating_points(card),
        problems=tuple(problems),
    )


def _without(folder: Path, error: CheckpointError) -> str:
    """The sentence of an error, for visitors, to whom folders of this machine mean nothing."""
    return str(error).replace(f"{folder.parent}{os.sep}", "")


def describe(card: Card, folder: Path) -> ModelResult:
    """What there is to know about one installed model without loading it.

    Returns:
        Plain values. `parameters` and `bytes` are None where the weights are missing or damaged,
        and `auc`, the area under the ROC curve on the test set, is None where the card has none.
    """
    weights = folder / WEIGHTS
    parameters = size = None
    try:
        size = weights.stat().st_size
        with safe_open(weights, framework="numpy") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.offset_keys()}
        parameters = sum(
            math.prod(shape) for name, shape in shapes.items() if not name.endswith(_STATISTICS)
        )
    except (OSError, SafetensorError):
        pass
    return {
        "name": card.name,
        "title": card.title,
        "backbone": card.backbone,
        "input_size": card.preprocessing.size,
        "parameters": parameters,
        "bytes": size,
        "auc": card.auc("test"),
        "sha256": card.sha256,
    }


def title(card: Card) -> str:
    """A model's title and how it did on pictures it had never seen."""
    auc = card.auc("test")
    if auc is None:
        return card.title
    return f"{card.title} · test AUC {auc['value']:.3f}{', weak' if weak(card) else ''}"


def weak(card: Card) -> bool:
    """Whether a model judged too badly on test to be asked unless somebody chooses it.

    The interval's low end counts, where the card has one, so that luck with the pictures lifts no
    model over the line.
    """
    auc = card.auc("test")
    return auc is not None and auc.get("low", auc["value"]) < LEAST_AUC


def list_sources(metrics: Mapping[str, Any]) -> tuple[Source, ...]:
    """Results source by source, of every set but those on which something was chosen."""
    return tuple(
        Source(
            source=source.replace("_", " "),
            set=set_title(name, found).split(":")[0],
            kind=kind,
            n=counts["n"],
            value=counts["value"],
        )
        for name, found in metrics.get("sets", {}).items()
        if name not in FITTED
        for key, kind in (("real_by_source", "photographs"), ("fake_by_source", "fakes"))
        for source, counts in found.get(key, {}).items()
    )


def find_plots(card: Card, folder: Path) -> dict[str, Path]:
    """What the plots of a model show, and where they lie: within its folder, or they are left out.

    Pages serve these files, and a card may come from anywhere.
    """
    folder = folder.resolve()
    paths = ((folder / str(name)).resolve() for name in card.metrics.get("plots", ()))
    return {path.stem: path for path in paths if path.is_relative_to(folder) and path.is_file()}


def operating_points(card: Card) -> dict[str, Any] | None:
    """What each threshold costs on val, where that was measured.

    Returns:
        The stored curve, lists of one length: `p_fake`, the thresholds; `photographs_flagged` and
        `fakes_caught`, shares in [0, 1]. `shipped` is the index of the model's own threshold.
    """
    curve = card.metrics.get("sets", {}).get("val", {}).get("curve")
    if not curve:
        return None
    own = [abs(p - card.calibration.fake_above) for p in curve["p_fake"]]
    return {**curve, "shipped": own.index(min(own))}
