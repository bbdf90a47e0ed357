"""The first phase: the head as a logistic regression on the features of the frozen backbone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import nn

from fakeface.models.backbones import Backbone
from fakeface.progress import progress
from fakeface.types import FloatArray
from train.datasets.faces import FaceSet, loader


@torch.no_grad()
def fit_head(
    model: nn.Module,
    backbone: Backbone,
    faces: FaceSet,
    batch: int,
    workers: int,
    precision: Callable[[], torch.autocast],
) -> float:
    """Set the head of a network to the logistic regression on its features.

    Args:
        model: in evaluation mode; nothing but its head changes, and the statistics of norm layers
            that came without weights.
        backbone: the facts about it.
        faces: augmented draws.
        batch: pictures a forward pass.
        workers: threads that read them.
        precision: the context to compute in.

    Returns:
        The loss of the regression on these draws.
    """
    measure_statistics(model, faces, batch, workers, precision)
    matrix, labels = _features(model, faces, batch, workers, precision)
    mean, std = matrix.mean(0), matrix.std(0) + 1e-6
    scaled = (matrix - mean) / std
    regression = LogisticRegression(C=0.003, max_iter=500).fit(scaled, labels)
    weight = regression.coef_[0] / std
    head = model.get_submodule(backbone.head)
    head.get_parameter("weight").copy_(torch.from_numpy(weight)[None])
    head.get_parameter("bias").fill_(float(regression.intercept_[0] - weight @ mean))
    return float(log_loss(labels, regression.predict_proba(scaled)[:, 1]))


def measure_statistics(
    model: nn.Module,
    faces: FaceSet,
    batch: int,
    workers: int,
    precision: Callable[[], torch.autocast],
    batches: int = 8,
) -> None:
    """Measure the batch-norm statistics of layers that came without weights.

    At their start values, mean 0 and variance 1, the features would be others than in training,
    and a head fitted to them would be wrong from the first step on.
    """
    fresh = [
        module
        for module in model.modules()
        if isinstance(module, nn.BatchNorm2d)
        and module.running_mean is not None
        and not module.running_mean.any()
    ]
    for module in fresh:
        module.train()
        module.momentum = None  # the plain mean over the batches
    if fresh:
        device = next(model.parameters()).device
        for face in itertools.islice(loader(faces, batch, workers), batches):
            with precision():
                model(face.x.to(device))
    for module in fresh:
        module.eval()
        module.momentum = 0.1


def _features(
    model: Any,
    faces: FaceSet,
    batch: int,
    workers: int,
    precision: Callable[[], torch.autocast],
) -> tuple[FloatArray, FloatArray]:
    """What the head is given (N, D), and the labels (N,)."""
    device = next(model.parameters()).device
    features, labels = [], []
    total = math.ceil(len(faces) / batch)
    for face in progress(loader(faces, batch, workers), total=total, desc="head: features"):
        with precision():
            maps = model.forward_features(face.x.to(device))
            flat = model.forward_head(maps, pre_logits=True)
        features.append(flat.float().cpu().numpy())
        labels.append(face.label.numpy())
    return np.concatenate(features), np.concatenate(labels)
