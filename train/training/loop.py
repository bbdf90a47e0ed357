"""The phases of a run, one after the other."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from fakeface.progress import progress
from train.training import head
from train.training.patch_loss import PatchLogits
from train.training.recipes import Phase
from train.training.run import Run
from train.training.schedule import learning_rate_factor, open_stages, parameter_groups
from train.training.state import Position
from train.training.step import step


class TimeUp(Exception):
    """A run has used the time that it was given, and its state is saved."""


def fit(run: Run) -> bool:
    """Run what is left of every phase, as far as the time allows, then write best.safetensors.

    Returns:
        Whether nothing is left.

    Raises:
        RunMismatch: the folder holds another run.
    """
    done = True
    try:
        _fit_phases(run)
    except TimeUp:
        done = False
    finally:
        run.journal.close()
    if run.accelerator.is_main_process:
        run.write_best()
    return done


def _fit_phases(run: Run) -> None:
    optimizer_state = run.resume()
    if run.at.phase == 0:
        fit_head(run)
        _begin(run, 1)
    for number, phase in enumerate(run.recipe.phases, start=1):
        if run.at.phase == number:
            _fit_phase(run, phase, optimizer_state)
            optimizer_state = None
            _begin(run, number + 1)


def _begin(run: Run, phase: int) -> None:
    """Start a phase from the best weights so far."""
    run.model.load_state_dict(run.best)
    run.average.module.load_state_dict(run.best)
    run.at = Position(phase=phase, best_auc=run.at.best_auc)
    run.save()


def fit_head(run: Run) -> None:
    """Phase 0: fit the head to the frozen features, unless the initial weights have one."""
    start, name, loss = time.monotonic(), "initial weights", math.nan
    if not run.model.get_submodule(run.backbone.head).weight.any():
        faces = run.draw(run.recipe.head_samples, 0, 0)
        batch, workers = run.recipe.batch, run.workers
        name = "head"
        loss = head.fit_head(run.model, run.backbone, faces, batch, workers, run.precision)
    run.average.set(run.model)
    run.judge(name, loss, 0.0, start)


def _fit_phase(run: Run, phase: Phase, optimizer_state: dict[str, Any] | None) -> None:
    """One phase: AdamW, a warm-up and cosine decay, an average of the weights."""
    recipe = run.recipe
    optimizer = _make_optimizer(run, phase)
    peaks = [group["lr"] for group in optimizer.param_groups]
    if optimizer_state:
        optimizer.load_state_dict(optimizer_state)
    patched = PatchLogits(run.model, run.backbone.prefix_tokens)
    network = run.accelerator.prepare_model(patched)
    steps = math.ceil(recipe.samples / (recipe.batch * recipe.accumulate))
    total = phase.epochs * steps
    saved = time.monotonic()
    bar: tqdm[None] = progress(
        total=total,
        initial=run.at.epoch * steps + run.at.step,
        desc=phase.name,
        disable=not run.accelerator.is_main_process,
    )
    with bar:
        while run.at.epoch < phase.epochs and run.at.stale < recipe.patience:
            start, losses, first = time.monotonic(), [], run.at.epoch * steps
            batches = run.batches(steps * recipe.accumulate, run.at.epoch)
            for done in range(first + run.at.step, first + steps):
                for group, peak in zip(optimizer.param_groups, peaks):
                    group["lr"] = peak * learning_rate_factor(done / total)
                losses.append(step(run, network, batches, optimizer, done))
                bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}", refresh=False)
                bar.update()
                run.at.step = done + 1 - first
                over = time.monotonic() > run.until
                if over or time.monotonic() - saved > run.save_every:
                    run.save(optimizer)
                    saved = time.monotonic()
                if over:
                    raise TimeUp
            run.at.epoch, run.at.step = run.at.epoch + 1, 0
            loss = float(np.mean(losses)) if losses else math.nan  # killed at the epoch's end
            loss = _mean_over_processes(run, loss)
            run.judge(phase.name, loss, optimizer.param_groups[0]["lr"], start)
            run.save(optimizer)
            saved = time.monotonic()


def _mean_over_processes(run: Run, loss: float) -> float:
    """What one process would have found: each has seen an equal part of every batch."""
    return float(run.accelerator.reduce(torch.tensor(loss, device=run.device), "mean"))


def _make_optimizer(run: Run, phase: Phase) -> torch.optim.AdamW:
    """Of the parameters that a phase opens, at their peak rates; the head's group is first."""
    open_stages(run.model, run.backbone, phase.stages, phase.tune)
    groups = parameter_groups(
        run.model, run.backbone, phase.lr, run.recipe.depth_decay, run.recipe.weight_decay
    )
    if run.teacher:
        groups.append({"params": list(run.teacher.parameters()), "lr": phase.lr})
    return torch.optim.AdamW(sorted(groups, key=lambda group: -float(group["lr"])))
