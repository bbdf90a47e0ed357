"""`checkpoints/NAME`, a model.safetensors and a card.json <-> a ready model.

Weights are safetensors, so that nothing is ever unpickled; the card pins their sha256. A folder may
hold reference.safetensors too, what the model learnt from in short, which names those weights.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from fakeface.files import write_atomically
from fakeface.models.backbones import BACKBONES, build
from fakeface.models.calibrate import Calibration
from fakeface.models.engine import Model
from fakeface.models.preprocess import Preprocessing
from fakeface.quality import Reference
from fakeface.types import CheckpointDamaged, CheckpointMismatch, CheckpointMissing

LABELS = ("real", "fake")  # index = label: fake = 1
WEIGHTS, NEW_WEIGHTS = "model.safetensors", "model.safetensors.new"
REFERENCE = "reference.safetensors"


def checkpoints_root() -> Path:
    """The folder of models: FAKEFACE_CHECKPOINTS, else `checkpoints/` beside the package."""
    given = os.environ.get("FAKEFACE_CHECKPOINTS")
    return Path(given) if given else Path(__file__).resolve().parents[2] / "checkpoints"


@dataclass(frozen=True, slots=True)
class Card:
    """Everything known about one shipped model; `card.json` holds exactly these fields.

    Attributes:
        name: the folder's name, by which people ask for the model.
        title: for people.
        backbone: a key of `BACKBONES`.
        preprocessing: what the network is fed.
        calibration: how its logits are read.
        labels: ("real", "fake"): the network's one logit speaks for the last.
        training: recipe, seed, command, data and its fingerprint.
        metrics: what was measured, with intervals, and the command that measured it.
        licence: of the weights.
        terms: of the data they were trained on.
        sha256: of model.safetensors, lower-case hex.
    """

    name: str
    title: str
    backbone: str
    preprocessing: Preprocessing
    calibration: Calibration
    training: Mapping[str, Any]
    metrics: Mapping[str, Any]
    licence: str
    terms: str
    sha256: str
    labels: tuple[str, str] = LABELS

    def auc(self, name: str) -> Mapping[str, float] | None:
        """The area under the ROC curve on a set, with its 95 % interval; None if not measured."""
        found: Mapping[str, float] | None = self.metrics.get("sets", {}).get(name, {}).get("auc")
        return found

    def to_json(self) -> str:
        """The text of card.json."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"


def read_card(folder: Path) -> Card:
    """Read and check `card.json` of one model folder.

    Raises:
        CheckpointMissing: there is no such file.
        CheckpointDamaged: it is no JSON, or its fields are not those of a card.
        CheckpointMismatch: it names a backbone or labels that this version does not know.
    """
    path = folder / "card.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        how, calibration = raw.pop("preprocessing"), raw.pop("calibration")
        how |= {"mean": tuple(how["mean"]), "std": tuple(how["std"])}
        labels = tuple(raw.pop("labels"))
        card = Card(
            **raw,
            labels=labels,
            preprocessing=Preprocessing(**how),
            calibration=Calibration(**calibration),
        )
    except FileNotFoundError as error:
        raise CheckpointMissing(
            f"There is no model {folder.name!r} ({path} is missing); `python -m fakeface models` "
            "lists what is installed."
        ) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointDamaged(
            f"{path} is not a readable model card ({error}); install the model again."
        ) from error
    if card.name != folder.name:
        raise CheckpointDamaged(
            f"{path} is the card of {card.name!r}; give the folder that name, or install it again."
        )
    if card.backbone not in BACKBONES or card.labels != LABELS:
        raise CheckpointMismatch(
            f"{path} asks for backbone {card.backbone!r} and labels {card.labels}, which this "
            "version does not know; update fakeface."
        )
    return card


def installed(root: Path | None = None) -> tuple[Card, ...]:
    """The cards of all models below `root`, by name; empty where the folder holds none."""
    root = root or checkpoints_root()
    return tuple(read_card(path.parent) for path in sorted(root.glob("*/card.json")))


def default(root: Path | None = None) -> str:
    """The installed model with the best AUC on val.

    Raises:
        CheckpointMissing: none is installed.
    """
    root = root or checkpoints_root()

    def auc(card: Card) -> float:
        return float((card.auc("val") or {}).get("value", 0.0))

    best = max(installed(root), key=auc, default=None)
    if best is None:
        raise CheckpointMissing(
            f"No model is installed in {root}; get the repository's checkpoints folder, or set "
            "FAKEFACE_CHECKPOINTS to another."
        )
    return best.name


def load(name: str, *, root: Path | None = None, device: str | None = None) -> Model:
    """A ready model, with the preprocessing and calibration that belong to it.

    Args:
        name: the folder's name below `root`.
        root: see `checkpoints_root`.
        device: "cpu", "cuda" ...; None takes the GPU where there is one.

    Raises:
        CheckpointMissing, CheckpointDamaged, CheckpointMismatch: see `fakeface.types`.
    """
    root = root or checkpoints_root()
    if not name or Path(name).name != name:
        raise CheckpointMissing(f"{name!r} is no model name; name a folder below {root}.")
    card = read_card(root / name)
    path = root / name / WEIGHTS
    data = read_weights(root / name, card)
    try:
        state = safetensors.torch.load(data)
    except SafetensorError as error:
        raise CheckpointDamaged(f"{path} is no safetensors file ({error}).") from error
    network = build(card.backbone)
    fill(network, state, path)
    width = state[f"{BACKBONES[card.backbone].head}.weight"].shape[1]
    return Model(
        card.name,
        network,
        card.backbone,
        card.preprocessing,
        card.calibration,
        device,
        sha256=card.sha256,
        reference=read_reference(root / name, card, width),
    )


def read_weights(folder: Path, card: Card) -> bytes:
    """The weights that a card names; `save`, if it was killed, may have left them as new ones.

    Raises:
        CheckpointMissing: there are none.
        CheckpointDamaged: they are others.
    """
    for path in (folder / WEIGHTS, folder / NEW_WEIGHTS):
        with suppress(OSError):
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == card.sha256:
                return data
    path = folder / WEIGHTS
    if not path.is_file():
        raise CheckpointMissing(
            f"The weights of {card.name!r} are missing ({path}); install the model again."
        )
    raise CheckpointDamaged(
        f"{path} does not have the checksum that its card names; install the model again."
    )


def fill(network: nn.Module, state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Copy tensors into a network, in its own precision; every name and shape must match.

    Raises:
        CheckpointMismatch: a tensor is missing, unknown or of another shape.
    """
    wanted = network.state_dict()
    # Counters of training steps mean nothing to a finished network and are not stored.
    names = {name for name in wanted if not name.endswith("num_batches_tracked")}
    wrong = sorted(names ^ state.keys()) or sorted(
        name for name in names if wanted[name].shape != state[name].shape
    )
    if wrong:
        raise CheckpointMismatch(
            f"{path} does not fit its backbone ({len(wrong)} tensors differ, first {wrong[0]}); "
            "install the model again."
        )
    network.load_state_dict({**wanted, **{name: state[name] for name in names}})


def read_reference(folder: Path, card: Card, width: int) -> Reference | None:
    """What the model of this card learnt from, or None where its folder does not tell.

    Args:
        width: how many features the network has.

    Raises:
        CheckpointDamaged: the file cannot be read, or is none of a reference.
        CheckpointMismatch: it is of other weights, or does not fit the network's features.
    """
    path = folder / REFERENCE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            weights = (file.metadata() or {}).get("weights")
            tensors = {key: file.get_tensor(key) for key in file.offset_keys()}
        rest = float(tensors.pop("rest").item())
        reference = Reference(**tensors, rest=rest)
    except (OSError, SafetensorError, TypeError, ValueError, KeyError) as error:
        raise CheckpointDamaged(
            f"{path} is no readable reference ({error}); install the model again or delete it."
        ) from error
    if weights != card.sha256:
        raise CheckpointMismatch(
            f"{path} belongs to other weights than {card.name!r} has; install the model again or "
            "delete that file."
        )
    if reference.means.shape[1] != width:
        raise CheckpointMismatch(
            f"{path} is of {reference.means.shape[1]} features, and the network has {width}; "
            "install the model again or delete that file."
        )
    return reference


def write_reference(folder: Path, card: Card, reference: Reference) -> None:
    """Write `reference.safetensors` for the weights that the card names, in full precision."""
    tensors = {
        name: np.atleast_1d(np.ascontiguousarray(value, np.float32))
        for name, value in dataclasses.asdict(reference).items()
    }
    write_atomically(folder / REFERENCE, safetensors.numpy.save(tensors, {"weights": card.sha256}))


def save(folder: Path, network: nn.Module, card: Card) -> Card:
    """Write both files of a model, weights in fp16; a reference, which is of other weights, goes.

    A kill at any moment leaves the old model or the new one.

    Returns:
        The card with the sha256 of what was written.
    """
    state = {
        name: tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    data = safetensors.torch.save(state)
    card = dataclasses.replace(card, sha256=hashlib.sha256(data).hexdigest())
    # The card decides which weights are the model's: the moment that it is replaced, they are.
    write_atomically(folder / NEW_WEIGHTS, data)
    (folder / REFERENCE).unlink(missing_ok=True)
    write_card(folder, card)
    (folder / NEW_WEIGHTS).replace(folder / WEIGHTS)
    return card


def write_card(folder: Path, card: Card) -> None:
    """Write `card.json`."""
    write_atomically(folder / "card.json", card.to_json().encode())
