"""One training run: the phases of its recipe, one after the other."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from timm.utils.model_ema import ModelEmaV3
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

from fakeface.models.backbones import BACKBONES, build
from fakeface.models.preprocess import Preprocessing
from fakeface.progress import progress
from train.datasets.donors import Donors
from train.datasets.epochs import blend_chance, draw, limit, pair
from train.datasets.faces import Face, Faces, FaceSet, loader
from train.datasets.records import Record
from train.datasets.splits import choice
from train.training.distil import Teacher, shrink
from train.training.head import fit_head
from train.training.hypersphere import hypersphere_loss
from train.training.journal import Journal
from train.training.patch_loss import PatchLogits, patch_loss
from train.training.precision import Precision, autocast
from train.training.recipes import Phase, Recipe
from train.training.schedule import learning_rate_factor, open_stages, parameter_groups
from train.training.state import Position, check_same, identify, read_state, write_state
from train.training.validation import Validation

log = logging.getLogger("train")

BEST = "best.safetensors"


class TimeUp(Exception):
    """A run has used the time that it was given."""


class Run:
    """One training run and the folder it lives in.

    The folder holds state.pt (everything needed to go on), log.csv, the same for TensorBoard, and
    at the end best.safetensors, in full precision. Where several processes share the run, the
    first one judges and writes.

    Args:
        recipe: what to do.
        records: of train and val; those without a face are left out.
        faces: where in them.
        folder: of the run; it must exist.
        workers: threads that read pictures.
        accelerator: the device, and the other processes if any.
        save_every: seconds between two saves.
        precision: see `train.training.precision`.
        processes: that make the batches of an epoch, in place of the threads; 0 for none.
        until: when to stop, by `time.monotonic`.

    Attributes:
        model: to be given initial weights before `fit`.
        average: of the weights of its steps, which is what is judged and kept.
        teacher: to be set before `fit`, if there is one.
        donors: of faces for blends, likewise.
    """

    def __init__(
        self,
        recipe: Recipe,
        records: list[Record],
        faces: Faces,
        folder: Path,
        workers: int,
        accelerator: Accelerator,
        save_every: float,
        *,
        precision: Precision = "auto",
        processes: int = 0,
        until: float = math.inf,
    ) -> None:
        self.processes, self.until = processes, until
        self.recipe, self.faces, self.folder, self.workers = recipe, faces, folder, workers
        self.accelerator, self.device = accelerator, accelerator.device
        self.save_every, self.wanted_precision = save_every, precision
        self.backbone = BACKBONES[recipe.backbone]
        self.how = Preprocessing(recipe.size, recipe.margin, self.backbone.mean, self.backbone.std)
        usable = [record for record in records if record.sha256 in faces]
        self.train = limit(
            [record for record in usable if record.split == "train"],
            recipe.train_limit,
            recipe.seed,
        )
        self.validation = Validation(
            choice(usable), faces, self.how, recipe.batch, workers, self.precision
        )
        self.model: Any = build(recipe.backbone).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average: Any = average_weights(self.model, recipe.ema)
        self.best: dict[str, torch.Tensor] = {}
        self.teacher: Teacher | None = None
        self.donors: Donors | None = None
        self.journal = Journal(folder)
        self.at = Position()
        self.identity: dict[str, str] = {}

    # -- what is kept ------------------------------------------------------------------------------

    def identify(self) -> dict[str, str]:
        """What this run is made of; to be asked before anything is trained."""
        network = self.teacher.network if self.teacher else None
        records = [*self.train, *self.validation.records]
        return identify(self.recipe, records, self.faces, self.model, network)

    def finished(self) -> bool:
        """Whether the folder holds the end of this very run.

        Raises:
            RunMismatch: it holds a run of another recipe, other data or other initial weights.
        """
        state = read_state(self.folder, torch.device("cpu"))
        if state is None:
            return False
        check_same(self.folder, state.get("identity"), self.identify())
        done = Position(**state["at"]).phase > len(self.recipe.phases)
        return done and (self.folder / BEST).exists()

    def save(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Write state.pt."""
        if not self.accelerator.is_main_process:
            return
        state = {
            "identity": self.identity,
            "at": dataclasses.asdict(self.at),
            "model": self.model.state_dict(),
            "average": self.average.module.state_dict(),
            "best": self.best,
            "optimizer": optimizer.state_dict() if optimizer else None,
            "teacher": self.teacher.state_dict() if self.teacher else None,
        }
        write_state(self.folder, state)

    def resume(self) -> dict[str, Any] | None:
        """Take up state.pt where there is one; returns the optimiser's state, if any.

        Raises:
            RunMismatch: it is the state of another run.
        """
        self.identity = self.identify()
        state = read_state(self.folder, self.device)
        if state is None:
            return None
        check_same(self.folder, state.get("identity"), self.identity)
        self.at, self.best = Position(**state["at"]), state["best"]
        self.model.load_state_dict(state["model"])
        self.average.module.load_state_dict(state["average"])
        if self.teacher:
            self.teacher.load_state_dict(state["teacher"])
        log.info("going on at %s", self.at)
        optimizer: dict[str, Any] | None = state["optimizer"]
        return optimizer

    def write_best(self) -> None:
        """Write best.safetensors."""
        path = self.folder / "best.part"
        state = {k: v.detach().cpu().contiguous() for k, v in self.best.items()}
        safetensors.torch.save_file(state, path)
        path.replace(self.folder / BEST)

    # -- the phases --------------------------------------------------------------------------------

    def fit(self) -> bool:
        """Run what is left of every phase, as far as the time allows, then write best.safetensors.

        Returns:
            Whether nothing is left.

        Raises:
            RunMismatch: the folder holds another run.
        """
        done = True
        try:
            self._fit_phases()
        except TimeUp:
            done = False
        finally:
            self.journal.close()
        if self.accelerator.is_main_process:
            self.write_best()
        return done

    def _fit_phases(self) -> None:
        optimizer_state = self.resume()
        if self.at.phase == 0:
            self.fit_head()
            self._begin(1)
        for number, phase in enumerate(self.recipe.phases, start=1):
            if self.at.phase == number:
                self._fit_phase(phase, optimizer_state)
                optimizer_state = None
                self._begin(number + 1)

    def _begin(self, phase: int) -> None:
        """Start a phase from the best weights so far."""
        self.model.load_state_dict(self.best)
        self.average.module.load_state_dict(self.best)
        self.at = Position(phase=phase, best_auc=self.at.best_auc)
        self.save()

    def fit_head(self) -> None:
        """Phase 0: fit the head to the frozen features, unless the initial weights have one."""
        start, name, loss = time.monotonic(), "initial weights", math.nan
        if not self.model.get_submodule(self.backbone.head).weight.any():
            faces = self.draw(self.recipe.head_samples, 0, 0)
            batch, workers = self.recipe.batch, self.workers
            name = "head"
            loss = fit_head(self.model, self.backbone, faces, batch, workers, self.precision)
        self.average.set(self.model)
        self.judge(name, loss, 0.0, start)

    def _fit_phase(self, phase: Phase, optimizer_state: dict[str, Any] | None) -> None:
        """One phase: AdamW, a warm-up and cosine decay, an average of the weights."""
        recipe = self.recipe
        optimizer = self._optimizer(phase)
        peaks = [group["lr"] for group in optimizer.param_groups]
        if optimizer_state:
            optimizer.load_state_dict(optimizer_state)
        patched = PatchLogits(self.model, self.backbone.prefix_tokens)
        network = self.accelerator.prepare_model(patched)
        steps = math.ceil(recipe.samples / (recipe.batch * recipe.accumulate))
        total = phase.epochs * steps
        saved = time.monotonic()
        bar: tqdm[None] = progress(
            total=total,
            initial=self.at.epoch * steps + self.at.step,
            desc=phase.name,
            disable=not self.accelerator.is_main_process,
        )
        with bar:
            while self.at.epoch < phase.epochs and self.at.stale < recipe.patience:
                start, losses, first = time.monotonic(), [], self.at.epoch * steps
                batches = self.batches(steps * recipe.accumulate, self.at.epoch)
                for done in range(first + self.at.step, first + steps):
                    for group, peak in zip(optimizer.param_groups, peaks):
                        group["lr"] = peak * learning_rate_factor(done / total)
                    losses.append(self.step(network, batches, optimizer, done))
                    bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}", refresh=False)
                    bar.update()
                    self.at.step = done + 1 - first
                    over = time.monotonic() > self.until
                    if over or time.monotonic() - saved > self.save_every:
                        self.save(optimizer)
                        saved = time.monotonic()
                    if over:
                        raise TimeUp
                self.at.epoch, self.at.step = self.at.epoch + 1, 0
                loss = float(np.mean(losses)) if losses else math.nan  # killed at the epoch's end
                self.judge(phase.name, loss, optimizer.param_groups[0]["lr"], start)
                self.save(optimizer)
                saved = time.monotonic()

    def _optimizer(self, phase: Phase) -> torch.optim.AdamW:
        """Of the parameters that a phase opens, at their peak rates; the head's group is first."""
        open_stages(self.model, self.backbone, phase.stages, phase.tune)
        groups = parameter_groups(
            self.model, self.backbone, phase.lr, self.recipe.depth_decay, self.recipe.weight_decay
        )
        if self.teacher:
            groups.append({"params": list(self.teacher.parameters()), "lr": phase.lr})
        return torch.optim.AdamW(sorted(groups, key=lambda group: -float(group["lr"])))

    def batches(self, count: int, epoch: int) -> Iterator[Face]:
        """This process's part of what is left of an epoch of `count` batches."""
        recipe = self.recipe
        chosen = self.draw(count * recipe.batch, self.at.phase, epoch)
        first = self.at.step * recipe.accumulate
        world = self.accelerator.num_processes, self.accelerator.process_index
        return loader(chosen, recipe.batch, self.workers, first, world, self.processes)

    def step(
        self,
        network: nn.Module,
        batches: Iterator[Face],
        optimizer: torch.optim.Optimizer,
        done: int,
    ) -> float:
        """One step on the next `accumulate` batches; returns its loss.

        Args:
            network: gives the logits of pictures and of their places.
            batches: to learn from.
            optimizer: of the open parameters.
            done: steps of this phase before this one.
        """
        recipe = self.recipe
        rng = np.random.default_rng(
            (recipe.seed, self.at.phase, done, self.accelerator.process_index)
        )
        optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for face in itertools.islice(batches, recipe.accumulate):
            loss = self.loss(network, face, rng) / recipe.accumulate
            self.accelerator.backward(loss)
            total += float(loss.detach())
        if self.teacher:
            for parameter in self.teacher.parameters():
                parameter.grad = self.accelerator.reduce(parameter.grad, "mean")
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        optimizer.step()
        self.average.update(self.model, step=done + 2)  # of this step, which is number done + 1
        return total

    def loss(self, network: nn.Module, face: Face, rng: np.random.Generator) -> torch.Tensor:
        """Of one batch: by its labels, and if so asked by its masks and by the teacher."""
        recipe = self.recipe
        x, y, mask = (part.to(self.device) for part in face)
        y, mask = (t * (1 - 2 * recipe.smoothing) + recipe.smoothing for t in (y, mask))
        if recipe.mixup:
            x, y, mask = mix((x, y, mask), recipe.mixup, rng)
        with self.precision():
            logits, places, features = network(shrink(x, recipe.size))
            loss = binary_cross_entropy_with_logits(logits, y)
            if recipe.patch_loss:
                of_places = patch_loss(places, mask)
                loss = (loss + recipe.patch_loss * of_places) / (1 + recipe.patch_loss)
            if recipe.hypersphere_loss:
                loss = loss + recipe.hypersphere_loss * hypersphere_loss(features, y)
            if self.teacher:
                hints = self.teacher(x, logits)
                loss = (1 - recipe.teaching) * loss + recipe.teaching * hints
        return loss

    def judge(self, phase: str, loss: float, lr: float, start: float) -> None:
        """Measure the averaged weights on val, and keep them if they are the best so far."""
        if self.accelerator.is_main_process:
            seconds = time.monotonic() - start
            aucs, judged = self.validation.measure(self.average.module, self.recipe.blend_share)
            if judged > self.at.best_auc or not self.best:
                state = self.average.module.state_dict()
                self.best = {name: tensor.clone() for name, tensor in state.items()}
                self.at.best_auc, self.at.stale = judged, 0
            else:
                self.at.stale += 1
            without_blends = ("val_auc", "val_auc_without_swaps")
            self.journal.note(
                phase=phase, epoch=self.at.epoch, loss=loss,
                **{name: aucs[name] for name in without_blends}, lr=lr, seconds=seconds,
                **{name: auc for name, auc in aucs.items() if name not in without_blends},
            )  # fmt: skip
        if self.accelerator.num_processes > 1:
            self.at, self.best = broadcast_object_list([self.at, self.best])

    def draw(self, count: int, phase: int, epoch: int) -> FaceSet:
        """The faces of one epoch: a function of the seed, the phase and the epoch alone."""
        recipe, seed = self.recipe, (self.recipe.seed, phase, epoch)
        # A teacher sees each face as large as it learnt to; the student gets a smaller copy.
        size = self.teacher.size if self.teacher and phase else recipe.size
        how = dataclasses.replace(self.how, size=size)
        records = draw(
            self.train, count, recipe.swap_share, seed, recipe.blend_share, recipe.by_family
        )
        if recipe.paired:
            records = pair(records, self.train, seed)
        chance = blend_chance(recipe.blend_share)
        return FaceSet(
            records, self.faces, how, recipe.augmentation, seed, chance,
            donors=self.donors, swap=recipe.swap_blends,
        )  # fmt: skip

    def precision(self) -> torch.autocast:
        """The context to compute in; parameters stay in full precision."""
        return autocast(self.wanted_precision, self.device, self.backbone)


def average_weights(model: nn.Module, decay: float) -> ModelEmaV3:
    """An exponential moving average of a network's weights, beginning with what they are now.

    It starts short, or its first epochs would be those of the initial weights: at the n-th step,
    `update(model, step=n + 1)`, the decay is n / (9 + n), and at most `decay`.
    """
    return ModelEmaV3(model, decay=decay, use_warmup=True, warmup_gamma=9.0, warmup_power=1.0)


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
