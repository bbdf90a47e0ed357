"""What a run keeps to go on after a kill, and what shows that it is still the same run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fakeface.types import FakefaceError
from train.datasets.faces import Faces
from train.datasets.records import Record, fingerprint
from train.training.recipes import Recipe, complete

FILE = "state.pt"


class RunMismatch(FakefaceError):
    """A folder holds a run of another recipe, of other data or from other initial weights."""


@dataclass(slots=True)
class Position:
    """Where a run stands.

    Attributes:
        phase: 0 is the head, then the recipe's.
        epoch, step: to do next.
        stale: epochs since the best one.
        best_auc: of the best weights so far, by what the run is judged by.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    stale: int = 0
    best_auc: float = 0.0


def identify(
    recipe: Recipe,
    records: Sequence[Record],
    faces: Faces,
    model: torch.nn.Module,
    teachers: Sequence[torch.nn.Module],
) -> dict[str, str]:
    """What a run is made of, as a few short strings.

    Args:
        recipe: in full.
        records: all that it learns from and is judged by.
        faces: of these records.
        model: with its initial weights.
        teachers: the networks to learn from.
    """
    boxes = sorted(f"{r.sha256} {faces[r.sha256].as_list()}\n" for r in records)
    return {
        "recipe": json.dumps(dataclasses.asdict(recipe), sort_keys=True),
        "data": fingerprint(records),
        "faces": hashlib.sha256("".join(boxes).encode()).hexdigest()[:16],
        "initial weights": digest_weights(model),
        "teacher": " ".join(map(digest_weights, teachers)) or "none",
    }


def digest_weights(model: torch.nn.Module) -> str:
    """A short hash of every tensor of a network."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def check_same(folder: Path, saved: Mapping[str, str] | None, now: Mapping[str, str]) -> None:
    """Refuse to go on with a run that is another one.

    Args:
        folder: of the run.
        saved: what `identify` said when it began; None where a release before 0.9.0 began it.
        now: what it says today.

    Raises:
        RunMismatch: says what differs.
    """
    advice = "give another folder with --run, or delete this one to begin again."
    if saved is None:
        raise RunMismatch(
            f"{folder} holds a run of an older release, which did not note down what it was made "
            f"of; {advice}"
        )
    differing = [
        f"the recipe ({_changes(saved[name], now[name])})" if name == "recipe" else f"the {name}"
        for name in now
        if name not in saved or not _equal(name, saved[name], now[name])
    ]
    if differing:
        raise RunMismatch(
            f"{folder} holds a run that differs in {' and '.join(differing)}; {advice}"
        )


def _equal(name: str, saved: str, now: str) -> bool:
    if name != "recipe":
        return saved == now
    return complete(json.loads(saved)) == complete(json.loads(now))


def _changes(saved: str, now: str) -> str:
    before, after = complete(json.loads(saved)), complete(json.loads(now))
    return ", ".join(
        f"{field} was {before.get(field)} and is {after.get(field)}"
        for field in sorted({*before, *after})
        if before.get(field) != after.get(field)
    )


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write the state to a temporary file first, so that a kill leaves the older one."""
    part = folder / f"state.{os.getpid()}.part"
    torch.save(dict(state), part)
    part.replace(folder / FILE)


def read_state(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """What `write_state` wrote, or None where there is nothing."""
    path = folder / FILE
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state
