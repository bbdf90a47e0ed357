"""What is exported: the network of a shipped model, and all that an app must know to use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import torch

from fakeface import __version__
from fakeface.models.card import Card
from fakeface.models.engine import Model
from fakeface.types import FakefaceError, FloatArray

INPUT: Final = "faces"
OUTPUT: Final = "logits"

# A batch, float32 (N, 3, S, S) -> logits, float32 (N, 1).
Run: TypeAlias = Callable[[torch.Tensor], FloatArray]


class ConversionError(FakefaceError):
    """A model cannot be written in a format."""


@dataclass(frozen=True, slots=True)
class Network:
    """One shipped model, ready to be written in any format.

    Attributes:
        module: float32 (N, 3, size, size) -> logits (N, 1).
        size: side of the input square, in pixels.
        metadata: see `describe`.
        faces: float32 (M, 3, size, size), by which a format of lower precision is fitted; may be
            empty.
        fitted: the bytes of an earlier int8 network of the same weights; may be empty.
    """

    module: torch.nn.Module
    size: int
    metadata: dict[str, str]
    faces: FloatArray
    fitted: bytes = b""

    @property
    def example(self) -> torch.Tensor:
        """An input by which to trace the network."""
        return torch.zeros(2, 3, self.size, self.size)


def take(
    model: Model,
    metadata: dict[str, str],
    faces: FloatArray | None = None,
    fitted: bytes = b"",
) -> Network:
    """The network of a model on the CPU, in the plain layout that converters expect."""
    module = model.network.to(memory_format=torch.contiguous_format)
    size = model.preprocessing.size
    none = np.empty((0, 3, size, size), np.float32)
    return Network(module, size, metadata, none if faces is None else faces, fitted)


def describe(card: Card, *, precision: str, address: str = "") -> dict[str, str]:
    """Everything that an app needs beside the network, as text by name.

    Lists and numbers are written as JSON. What the fields mean stands in docs/edge.md.

    Args:
        card: of the model.
        precision: of the exported weights.
        address: where people find the model's card; by default its place in the repository.
    """
    how, limits = card.preprocessing, card.calibration
    fields: dict[str, Any] = {
        "made_by": f"fakeface {__version__}",
        "name": card.name,
        "title": card.title,
        "sha256": card.sha256,
        "precision": precision,
        "card": address or f"checkpoints/{card.name}/README.md",
        "licence": card.licence,
        "input_size": how.size,
        "margin": how.margin,
        "colours": "RGB",
        "scale": 1 / 255,
        "mean": how.mean,
        "std": how.std,
        "resize": "bicubic, antialiased",
        "mirrored": True,
        "labels": card.labels,
        "temperature": limits.temperature,
        "offset": limits.offset,
        "real_below": limits.real_below,
        "fake_above": limits.fake_above,
    }
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in fields.items()}
