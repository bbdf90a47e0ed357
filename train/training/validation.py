"""How good weights are: measured on the part of val that a run may choose by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from fakeface.models.preprocess import Preprocessing
from fakeface.types import FloatArray
from train.augment.degrade import UNCHANGED
from train.datasets.faces import Faces, FaceSet, loader
from train.datasets.records import Record, SourceError, drop_swaps

_SEED = (0,)  # the same blends for every run


@dataclass(frozen=True, slots=True)
class Validation:
    """Pictures that a network is judged by.

    Attributes:
        records: of val, with a face each, of both classes.
        faces: where in them.
        how: face -> tensor.
        batch: pictures a forward pass.
        workers: threads that read them.
        precision: the context to compute in.
    """

    records: Sequence[Record]
    faces: Faces
    how: Preprocessing
    batch: int
    workers: int
    precision: Callable[[], torch.autocast]

    def __post_init__(self) -> None:
        if {record.label for record in drop_swaps(self.records)} != {0, 1}:
            raise SourceError(
                "The half of val that weights are chosen by lacks photographs or fakes with a "
                "face; add groups to val."
            )

    def measure(self, network: nn.Module, blend_share: float) -> tuple[dict[str, float], float]:
        """The AUCs of a network, and the one number that weights are chosen by.

        That is the AUC without swaps. With self-blended faces in training, each kind of fake
        counts as it does there.
        """
        labels, logits = self._predict(network, FaceSet(self.records, self.faces, self.how))
        generated = {record.sha256 for record in drop_swaps(self.records)}
        chosen = np.array([record.sha256 in generated for record in self.records])
        auc = float(roc_auc_score(labels[chosen], logits[chosen]))
        found = {
            "val_auc": float(roc_auc_score(labels, logits)),
            "val_auc_without_swaps": auc,
        }
        if not blend_share:
            return found, auc
        blended = self._auc_of_blends(network, logits[labels == 0])
        judged = (1 - blend_share) * auc + blend_share * blended
        return {**found, "val_auc_blended": blended}, judged

    def _auc_of_blends(self, network: nn.Module, clean: FloatArray) -> float:
        """AUC of the self-blended photographs against the clean ones' logits (N,)."""
        photographs = [record for record in self.records if record.label == 0]
        blends = FaceSet(photographs, self.faces, self.how, UNCHANGED, _SEED, blend=1.0)
        labels, blended = self._predict(network, blends)
        truth = np.concatenate([np.zeros(len(clean)), labels])
        return float(roc_auc_score(truth, np.concatenate([clean, blended])))

    @torch.no_grad()
    def _predict(self, network: nn.Module, faces: FaceSet) -> tuple[FloatArray, FloatArray]:
        """Labels and logits (N,)."""
        network.eval()
        device = next(network.parameters()).device
        labels, logits = [], []
        for face in loader(faces, self.batch, self.workers):
            with self.precision():
                logits.append(network(face.x.to(device)).float().flatten().cpu().numpy())
            labels.append(face.label.numpy())
        return np.concatenate(labels), np.concatenate(logits)
