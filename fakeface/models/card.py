"""`card.json` and `metrics.json`: what is known of one model, checked field by field."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, cast

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic does not take that of typing before Python 3.12

from fakeface.contract import AucResult
from fakeface.fields import CLOSED, OPEN, Count, NotNegative, Probability, Sha256
from fakeface.models.backbones import BACKBONES
from fakeface.models.calibrate import Calibration
from fakeface.models.preprocess import Preprocessing
from fakeface.types import CheckpointDamaged, CheckpointMismatch, CheckpointMissing

WEIGHTS: Final = "model.safetensors"
METRICS: Final = "metrics.json"
INT8: Final = "model.int8.onnx"
LABELS: Final = ("real", "fake")  # index = label: fake = 1

_Read = TypeVar("_Read")


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class Shortcuts:
    """What saves time with a model and changes no verdict: `python -m train shortcuts` measures it.

    Attributes:
        bf16: whether its network may compute in bfloat16, on processors that do.
        moves: name of a copy -> how far at most it moved the calibrated log-odds of a face towards
            real and towards fake. Of copies that are not named, nothing is known.
    """

    bf16: bool = False
    moves: Mapping[str, tuple[NotNegative, NotNegative]] = field(default_factory=dict)


@with_config(CLOSED)
@dataclass(frozen=True, slots=True)
class Card:
    """Everything known about one shipped model; `card.json` holds exactly these fields.

    Attributes:
        name: the folder's name, by which people ask for the model.
        title: for people.
        backbone: a key of `BACKBONES`.
        preprocessing: what the network is fed.
        calibration: how its logits are read.
        training: recipe, seed, command, data and its fingerprint.
        metrics: what was measured, with intervals, and the command that measured it.
        licence: of the weights.
        terms: of the data they were trained on.
        sha256: of model.safetensors, lower-case hex; empty before there is such a file.
        labels: ("real", "fake"): the network's one logit speaks for the last.
        files: file name -> sha256, of each file of the folder that is read with the model. Cards
            written before 0.9.0 name none.
        shortcuts: what saves time and changes no verdict; none in cards written before 0.10.0.
    """

    name: str
    title: str
    backbone: str
    preprocessing: Preprocessing
    calibration: Calibration
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""
    terms: str = ""
    sha256: Sha256 = ""
    labels: tuple[str, str] = LABELS
    files: Mapping[str, Sha256] = field(default_factory=dict)
    shortcuts: Shortcuts = field(default_factory=Shortcuts)

    @property
    def summary(self) -> str:
        """What the model learnt from, in a sentence or two; empty where the card does not say."""
        return str(self.training.get("summary", ""))

    def auc(self, name: str) -> AucResult | None:
        """The area under the ROC curve on a set, with its 95 % interval; None if not measured."""
        found: AucResult | None = self.metrics.get("sets", {}).get(name, {}).get("auc")
        return found

    def to_json(self) -> str:
        """The text of card.json."""
        fields = dataclasses.asdict(self)
        return json.dumps(fields, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


# What is measured may grow; what is read from it here has its types.


@with_config(OPEN)
class _Share(TypedDict):
    n: Count
    value: Probability


_Verdicts = TypedDict(
    "_Verdicts", {"AI-generated": Probability, "real": Probability, "unsure": Probability}
)


_Shares = Annotated[list[Probability], Field(min_length=1)]


@with_config(OPEN)
class _Curve(TypedDict):
    p_fake: _Shares
    photographs_flagged: _Shares
    fakes_caught: _Shares


def _check_lengths(curve: _Curve) -> _Curve:
    if not len(curve["p_fake"]) == len(curve["photographs_flagged"]) == len(curve["fakes_caught"]):
        raise ValueError("its lists need one length")
    return curve


@with_config(OPEN)
class _Set(TypedDict, total=False):
    title: str
    n_real: Count
    n_fake: Count
    no_face: Count
    auc: AucResult | None
    verdicts_on_real: _Verdicts
    verdicts_on_fake: _Verdicts
    real_by_source: dict[str, _Share]
    fake_by_source: dict[str, _Share]
    curve: Annotated[_Curve, AfterValidator(_check_lengths)]


@with_config(OPEN)
class _Copy(TypedDict, total=False):
    auc: AucResult
    auc_before: AucResult
    flips: Probability


@with_config(OPEN)
class _Metrics(TypedDict, total=False):
    command: str
    detector: str
    sets: dict[str, _Set]
    reencoded: dict[str, _Copy]
    plots: list[str]


_CARD: Final = TypeAdapter(Card)
_METRICS: Final = TypeAdapter(_Metrics)


def read_card(folder: Path) -> Card:
    """Read and check `card.json` of one model folder.

    Raises:
        CheckpointMissing: there is no such file.
        CheckpointDamaged: it is no JSON, or its fields are not those of a card.
        CheckpointMismatch: it names a backbone or labels that this version does not know.
    """
    path = folder / "card.json"
    try:
        card = _validate(_CARD, path.read_bytes(), path)
    except FileNotFoundError as error:
        raise CheckpointMissing(
            f"There is no model {folder.name!r} ({path} is missing); `python -m fakeface models` "
            "lists what is installed."
        ) from error
    except OSError as error:
        raise CheckpointDamaged(f"{path} cannot be read ({error.strerror}).") from error
    _validate(_METRICS, json.dumps(card.metrics).encode(), path, "metrics")
    if card.name != folder.name:
        raise CheckpointDamaged(
            f"{path} is the card of {card.name!r}; give the folder that name, or install it again."
        )
    if card.files.get(WEIGHTS, card.sha256) != card.sha256:
        raise CheckpointDamaged(f"{path} names two checksums of {WEIGHTS}; install it again.")
    if card.backbone not in BACKBONES or card.labels != LABELS:
        raise CheckpointMismatch(
            f"{path} asks for backbone {card.backbone!r} and labels {card.labels}, which this "
            "version does not know; update fakeface."
        )
    return card


def read_metrics(folder: Path, card: Card) -> dict[str, Any]:
    """Read and check `metrics.json` of one model folder: all that was measured of the model.

    Returns:
        An empty dictionary where there is no such file.

    Raises:
        CheckpointDamaged: it cannot be read, has another checksum than the card says, is no JSON,
            or a field of it has the wrong type.
    """
    path = folder / METRICS
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CheckpointDamaged(f"{path} cannot be read ({error.strerror}).") from error
    check_file(path, data, card.files.get(METRICS))
    return cast(dict[str, Any], _validate(_METRICS, data, path))


def check_file(path: Path, data: bytes, sha256: str | None) -> None:
    """Compare a file with the checksum in its card, where the card has one.

    Raises:
        CheckpointDamaged: they differ.
    """
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise CheckpointDamaged(
            f"{path} does not have the checksum that its card names; install the model again."
        )


def _validate(adapter: TypeAdapter[_Read], data: bytes, path: Path, *fields: str) -> _Read:
    """The JSON of a file as an object.

    Args:
        adapter: knows the type.
        data: the JSON text.
        path: of the file.
        fields: that lead to the object within the file.

    Raises:
        CheckpointDamaged: names the file and the first field that is wrong.
    """
    try:
        return adapter.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, (*fields, *first["loc"])))
        what = f"field {where}: {first['msg']}" if where else first["msg"]
        raise CheckpointDamaged(
            f"{path} is damaged ({what.rstrip('.')}); install the model again."
        ) from error
