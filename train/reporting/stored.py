"""Everything that was measured, as it lies in checkpoints/ and results/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakeface.models import checkpoints
from fakeface.models.card import Card
from train.evaluation.store import RESULTS, read_json

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Stored:
    """Everything that was measured.

    Attributes:
        cards: of the shipped models, the default one first.
        metrics: metrics.json by model.
        pointing: pointing.json by model.
        baseline: of metadata alone; empty where it was not measured.
        probe: of frozen features; empty where it was not measured.
        runs: runs that are not shipped, by name.
        left_out: leave one group out, by recipe.
        ideas: the same for recipes changed in one thing, by recipe and change.
        releases: the test AUC of the default model of earlier releases.
        ensemble: the vote of the models; empty where it was not measured.
    """

    cards: tuple[Card, ...]
    metrics: Mapping[str, Mapping[str, Any]]
    pointing: Mapping[str, Mapping[str, Any]]
    baseline: Mapping[str, Any]
    probe: Mapping[str, Any]
    runs: Mapping[str, Mapping[str, Any]]
    left_out: Mapping[str, Mapping[str, Any]]
    ideas: Mapping[str, Mapping[str, Any]]
    releases: Mapping[str, Mapping[str, Any]]
    ensemble: Mapping[str, Any]


def read_stored(root: Path = ROOT) -> Stored:
    """Read what a repository at `root` holds."""
    models, results = root / "checkpoints", root / RESULTS
    cards = checkpoints.installed(models)
    best = checkpoints.default(models) if cards else ""
    left_out = read_folder(results / "leave_one_group_out")
    changed = {name for name, found in left_out.items() if found["training"].get("changes")}
    return Stored(
        cards=tuple(sorted(cards, key=lambda card: (card.name != best, card.name))),
        metrics={card.name: read_json(models / card.name / "metrics.json") for card in cards},
        pointing={card.name: read_json(models / card.name / "pointing.json") for card in cards},
        baseline=read_json(results / "baseline.json"),
        probe=read_json(results / "probe.json"),
        runs=read_folder(results / "cross_dataset"),
        left_out={name: left_out[name] for name in left_out if name not in changed},
        ideas={name: left_out[name] for name in left_out if name in changed},
        releases=read_json(results / "releases.json"),
        ensemble=read_json(results / "ensemble.json"),
    )


def read_folder(folder: Path) -> dict[str, dict[str, Any]]:
    """The JSON files of a folder by their names without the ending, sorted."""
    return {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}
