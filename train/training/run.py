"""One training run: what it learns from, how far it has come, and the folder it lives in."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from fakeface.models.backbones import BACKBONES, build
from fakeface.models.preprocess import Preprocessing
from train.datasets.donors import Donors
from train.datasets.epochs import blend_chance, draw, limit, pair
from train.datasets.faces import Face, Faces, FaceSet, loader
from train.datasets.records import Record
from train.datasets.splits import choice
from train.training.distil import Teacher
from train.training.journal import Journal
from train.training.precision import Precision, autocast
from train.training.recipes import Recipe
from train.training.state import Position, check_same, identify, read_state, write_state
from train.training.validation import Validation

log = logging.getLogger("train")

BEST = "best.safetensors"


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
        model: to be given initial weights before `loop.fit`.
        average: of the weights of its steps, which is what is judged and kept.
        teacher: to be set before `loop.fit`, if there is one.
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

    # -- the folder --------------------------------------------------------------------------------

    def identify(self) -> dict[str, str]:
        """What this run is made of; to be asked before anything is trained."""
        teachers = self.teacher.networks if self.teacher else []
        records = [*self.train, *self.validation.records]
        return identify(self.recipe, records, self.faces, self.model, teachers)

    def is_finished(self) -> bool:
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

    # -- what it learns from, and how good it is ---------------------------------------------------

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

    def batches(self, count: int, epoch: int) -> Iterator[Face]:
        """This process's part of what is left of an epoch of `count` batches."""
        recipe = self.recipe
        chosen = self.draw(count * recipe.batch, self.at.phase, epoch)
        first = self.at.step * recipe.accumulate
        world = self.accelerator.num_processes, self.accelerator.process_index
        return loader(chosen, recipe.batch, self.workers, first, world, self.processes)

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

    def precision(self) -> torch.autocast:
        """The context to compute in; parameters stay in full precision."""
        return autocast(self.wanted_precision, self.device, self.backbone)


def average_weights(model: nn.Module, decay: float) -> ModelEmaV3:
    """An exponential moving average of a network's weights, beginning with what they are now.

    It starts short, or its first epochs would be those of the initial weights: at the n-th step,
    `update(model, step=n + 1)`, the decay is n / (9 + n), and at most `decay`.
    """
    return ModelEmaV3(model, decay=decay, use_warmup=True, warmup_gamma=9.0, warmup_power=1.0)
