"""One step of a run: the loss of some batches, and what the optimiser makes of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from train.datasets.faces import Face
from train.training.distil import shrink
from train.training.hypersphere import hypersphere_loss
from train.training.patch_loss import patch_loss
from train.training.run import Run


def step(
    run: Run,
    network: nn.Module,
    batches: Iterator[Face],
    optimizer: torch.optim.Optimizer,
    done: int,
) -> float:
    """One step on the next `accumulate` batches; returns its loss.

    Args:
        run: whose average moves on.
        network: gives the logits of pictures and of their places.
        batches: to learn from.
        optimizer: of the open parameters.
        done: steps of this phase before this one.
    """
    recipe = run.recipe
    rng = np.random.default_rng((recipe.seed, run.at.phase, done, run.accelerator.process_index))
    optimizer.zero_grad(set_to_none=True)
    total = 0.0
    for face in itertools.islice(batches, recipe.accumulate):
        loss = measure_loss(run, network, face, rng) / recipe.accumulate
        run.accelerator.backward(loss)
        total += float(loss.detach())
    if run.teacher:
        for parameter in run.teacher.parameters():
            parameter.grad = run.accelerator.reduce(parameter.grad, "mean")
    nn.utils.clip_grad_norm_(run.model.parameters(), 5.0)
    optimizer.step()
    run.average.update(run.model, step=done + 2)  # of this step, which is number done + 1
    return total


def measure_loss(
    run: Run, network: nn.Module, face: Face, rng: np.random.Generator
) -> torch.Tensor:
    """Of one batch: by its labels, and if so asked by its masks and by the teacher."""
    recipe = run.recipe
    x, y, mask = (part.to(run.device) for part in face)
    y, mask = (t * (1 - 2 * recipe.smoothing) + recipe.smoothing for t in (y, mask))
    if recipe.mixup:
        x, y, mask = mix((x, y, mask), recipe.mixup, rng)
    with run.precision():
        logits, places, features = network(shrink(x, recipe.size))
        loss = binary_cross_entropy_with_logits(logits, y)
        if recipe.patch_loss:
            of_places = patch_loss(places, mask)
            loss = (loss + recipe.patch_loss * of_places) / (1 + recipe.patch_loss)
        if recipe.hypersphere_loss:
            loss = loss + recipe.hypersphere_loss * hypersphere_loss(features, y)
        if run.teacher:
            hints = run.teacher(x, logits)
            loss = (1 - recipe.teaching) * loss + recipe.teaching * hints
    return loss


def mix(
    batch: Sequence[torch.Tensor], alpha: float, rng: np.random.Generator
) -> list[torch.Tensor]:
    """Each picture of a batch, and what is known of it, mixed with another's.

    Args:
        batch: pictures, labels and masks, of the same length N.
        alpha: the share is one draw of Beta(alpha, alpha).
        rng: decides everything.
    """
    ratio = float(rng.beta(alpha, alpha))
    order = torch.from_numpy(rng.permutation(len(batch[0])))
    return [ratio * part + (1 - ratio) * part[order.to(part.device)] for part in batch]
