"""`checkpoints/NAME`, a folder of a model's files <-> a ready model.

    card.json              what the model is, and the sha256 of each of the other files
    model.safetensors      the weights
    reference.safetensors  the faces it learnt from, in short, for the out-of-distribution score
    metrics.json           all that was measured of it

Everything is safetensors or JSON, so that nothing is ever unpickled. A damaged card or damaged
weights cost that model alone, and the other two files only what they are for.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from fakeface.files import write_through
from fakeface.models.backbones import build
from fakeface.models.card import METRICS, WEIGHTS, check_file
from fakeface.models.card import Card as Card
from fakeface.models.card import read_card as read_card
from fakeface.models.engine import Model
from fakeface.models.out_of_distribution import Reference
from fakeface.types import (
    CheckpointDamaged,
    CheckpointError,
    CheckpointMismatch,
    CheckpointMissing,
)

REFERENCE = "reference.safetensors"

_log = logging.getLogger(__name__)


def checkpoints_root() -> Path:
    """The folder of models: FAKEFACE_CHECKPOINTS, else `checkpoints/` beside the package."""
    given = os.environ.get("FAKEFACE_CHECKPOINTS")
    return Path(given) if given else Path(__file__).resolve().parents[2] / "checkpoints"


def survey(root: Path | None = None) -> tuple[tuple[Card, ...], dict[str, CheckpointError]]:
    """Read the cards of all models below `root`.

    Returns:
        The cards by name, and for each folder whose card cannot be used, the error that says why.
    """
    cards: list[Card] = []
    problems: dict[str, CheckpointError] = {}
    for path in sorted((root or checkpoints_root()).glob("*/card.json")):
        try:
            cards.append(read_card(path.parent))
        except CheckpointError as error:
            problems[path.parent.name] = error
    return tuple(cards), problems


def installed(root: Path | None = None) -> tuple[Card, ...]:
    """The cards of all models below `root`, by name; empty where the folder holds none.

    One that cannot be used is left out, and the log says why, once; see `broken`.
    """
    cards, problems = survey(root)
    for problem in problems.values():
        _warn_once(str(problem))
    return cards


def broken(root: Path | None = None) -> dict[str, CheckpointError]:
    """The models below `root` whose cards cannot be used: name -> the error that says why."""
    return survey(root)[1]


@functools.cache
def _warn_once(sentence: str) -> None:
    _log.warning("%s", sentence)


def default(root: Path | None = None) -> str:
    """The installed model with the best AUC on val.

    Raises:
        CheckpointMissing: none is installed.
        CheckpointDamaged, CheckpointMismatch: none of those that are installed can be used.
    """
    root = root or checkpoints_root()

    def auc(card: Card) -> float:
        measured = card.auc("val")
        return measured["value"] if measured else 0.0

    best = max(installed(root), key=auc, default=None)
    if best is not None:
        return best.name
    for problem in broken(root).values():
        raise problem
    raise CheckpointMissing(
        f"No model is installed in {root}; get the repository's checkpoints folder, or set "
        "FAKEFACE_CHECKPOINTS to another."
    )


def load(
    name: str,
    *,
    root: Path | None = None,
    device: str | None = None,
    engine: str | None = None,
) -> Model:
    """A ready model, with the card, the preprocessing and the calibration that belong to it.

    A damaged reference.safetensors is left out, and the log says so: the model then gives no
    out-of-distribution score.

    Args:
        name: the folder's name below `root`.
        root: see `checkpoints_root`.
        device: "cpu", "cuda" ...; None takes the GPU where there is one.
        engine: "auto", "torch" or "openvino"; None for that of FAKEFACE_ENGINE, else auto.

    Raises:
        CheckpointMissing, CheckpointDamaged, CheckpointMismatch, EngineError: see `fakeface.types`.
    """
    root = root or checkpoints_root()
    if not name or Path(name).name != name:
        raise CheckpointMissing(f"{name!r} is no model name; name a folder below {root}.")
    folder = root / name
    card = read_card(folder)
    path, data = read_weights(folder, card)
    try:
        state = safetensors.torch.load(data)
    except SafetensorError as error:
        raise CheckpointDamaged(f"{path} is no safetensors file ({error}).") from error
    network = build(card.backbone)
    fill(network, state, path)
    model = Model(card, network, device)
    size = card.preprocessing.size
    width = model.style(torch.empty(0, 3, size, size, device=model.device)).shape[1]
    try:
        model.reference = read_reference(folder, card, width)
    except CheckpointError as error:
        _log.warning("%s", error)
    model.speed_up(engine)
    return model


def read_weights(folder: Path, card: Card) -> tuple[Path, bytes]:
    """The file of the weights that a card names, and its bytes.

    `save` may have been killed after it wrote the card and before the new weights took their name.

    Raises:
        CheckpointMissing: there are none.
        CheckpointDamaged: they are others.
    """
    path, new = folder / WEIGHTS, folder / f"{WEIGHTS}.part"
    data = _read_if_there(new)
    if data is not None and hashlib.sha256(data).hexdigest() == card.sha256:
        return new, data
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointMissing(
            f"The weights of {card.name!r} are missing ({path}); install the model again."
        ) from error
    check_file(path, data, card.sha256)
    return path, data


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


def read_reference(folder: Path, card: Card, width: int | None = None) -> Reference | None:
    """The faces that the model of this card learnt from, or None where its folder does not say.

    Args:
        folder: of the model.
        card: of the model.
        width: how many numbers its network tells of a style, where that is known.

    Raises:
        CheckpointDamaged: the file has another checksum than the card says, or is no reference.
        CheckpointMismatch: it is of other weights, or of another style than the network tells.
    """
    path = folder / REFERENCE
    if not path.exists():
        return None
    try:
        check_file(path, path.read_bytes(), card.files.get(REFERENCE))
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
    if width is not None and reference.mean.size != width:
        raise CheckpointMismatch(
            f"{path} is of {reference.mean.size} numbers on a face, and the network gives {width}; "
            "install the model again or delete that file."
        )
    return reference


def save(folder: Path, network: nn.Module, card: Card, reference: Reference | None = None) -> Card:
    """Write the files of a model, weights in fp16; an older reference is of other weights and goes.

    A kill at any moment leaves a model that works: the old one, or the new one.

    Returns:
        The card with the sha256 of what was written.
    """
    state = {
        name: tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    weights = safetensors.torch.save(state)
    card = dataclasses.replace(card, sha256=hashlib.sha256(weights).hexdigest())
    return _write(folder, card, {WEIGHTS: weights, REFERENCE: _pack(reference, card)})


def write_reference(folder: Path, card: Card, reference: Reference) -> Card:
    """Write `reference.safetensors` for the weights that the card names, and the card.

    Returns:
        The card with the sha256 of what was written.
    """
    return _write(folder, card, {REFERENCE: _pack(reference, card)})


def write_card(folder: Path, card: Card) -> Card:
    """Write `card.json`.

    Returns:
        The card with the sha256 of each file that lies beside it.
    """
    return _write(folder, card, {})


def _pack(reference: Reference | None, card: Card) -> bytes | None:
    """The bytes of reference.safetensors, in full precision."""
    if reference is None:
        return None
    tensors = {
        name: np.atleast_1d(np.ascontiguousarray(value, np.float32))
        for name, value in dataclasses.asdict(reference).items()
    }
    return safetensors.numpy.save(tensors, {"weights": card.sha256})


def _write(folder: Path, card: Card, contents: Mapping[str, bytes | None]) -> Card:
    """Write files of a model and its card, which names the sha256 of each.

    Args:
        folder: of the model.
        card: of the model.
        contents: file name -> bytes, or None for a file that goes. The others stay as they are.

    Returns:
        The card as written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {WEIGHTS: card.sha256}
    for name in (REFERENCE, METRICS):
        data = contents[name] if name in contents else _read_if_there(folder / name)
        if data is not None:
            files[name] = hashlib.sha256(data).hexdigest()
    card = dataclasses.replace(card, files=files)
    # Whatever may fail for want of space fails before the first file takes its name. The weights
    # are last: once the card names them, `read_weights` finds them under either name.
    last = [name for name in (WEIGHTS,) if name in contents]
    others = [name for name in contents if name not in last]
    changes = {**contents, "card.json": card.to_json().encode()}
    parts = {name: folder / f"{name}.part" for name, data in changes.items() if data is not None}
    try:
        for name, part in parts.items():
            write_through(part, changes[name] or b"")
    except OSError:
        for part in parts.values():
            part.unlink(missing_ok=True)
        raise
    for name in [*others, "card.json", *last]:
        if name in parts:
            parts[name].replace(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    return card


def _read_if_there(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
