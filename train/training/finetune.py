"""Train a backbone by progressive unfreezing: `python -m train.finetune RECIPE --data MANIFEST`.

Phase 1 fits the head to frozen features, as a logistic regression, unless the initial weights have
one already; each further phase of the recipe opens stages from the end. A run that was killed goes
on where it stood, and ends with the weights it would have had, when the same command is given
again. Several GPUs: `accelerate launch -m train.finetune RECIPE ...`, which divides each batch.
"""

from __future__ import annotations

import argparse
import copy
import csv
import dataclasses
import importlib
import itertools
import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import timm
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from fakeface.faces import open_detector
from fakeface.models.backbones import BACKBONES, build
from fakeface.models.preprocess import Preprocessing
from fakeface.types import CheckpointMismatch
from train.augment.degrade import UNCHANGED
from train.datasets.faces import Face, Faces, FaceSet, chances, draw, find_faces, loader, only
from train.datasets.records import without_swaps
from train.datasets.sources import (
    Record,
    add_data_arguments,
    check_groups,
    fingerprint,
    read_data,
    short,
)
from train.evaluation.metrics import Array
from train.training.distil import Teacher, shrink
from train.training.memory import keep_freed
from train.training.patch_loss import Everywhere, local_loss, window
from train.training.recipes import Phase, Recipe
from train.training.schedule import open_stages, parameter_groups

log = logging.getLogger("train")


class Run:
    """One training run and the folder it lives in.

    The folder holds state.pt (everything needed to go on), log.csv, the same for TensorBoard, and
    at the end best.safetensors, in full precision. Where several processes share the run, the
    first one judges and writes.
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
    ) -> None:
        self.recipe, self.folder, self.workers = recipe, folder, workers
        self.faces, self.save_every = faces, save_every
        self.accelerator, self.device = accelerator, accelerator.device
        self.backbone = BACKBONES[recipe.backbone]
        self.how = Preprocessing(recipe.size, recipe.margin, self.backbone.mean, self.backbone.std)
        usable = [record for record in records if record.sha256 in faces]
        self.train = limited(
            [record for record in usable if record.split == "train"],
            recipe.train_limit,
            recipe.seed,
        )
        self.val = [record for record in usable if record.split == "val"]
        self.model = build(recipe.backbone).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model)
        self.best: dict[str, torch.Tensor] = {}
        self.teacher: Teacher | None = None
        self.board: SummaryWriter | None = None  # one file, from the first line to `close`
        # Where the run stands: the phase (0 is the head), the epoch and the step to do next.
        self.at = {"phase": 0, "epoch": 0, "step": 0, "stale": 0, "best_auc": 0.0}

    # -- what is kept -----------------------------------------------------------------------

    def save(self, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Write state.pt: to a temporary file first, so that a kill leaves the older one."""
        if not self.accelerator.is_main_process:
            return
        state = {
            "at": self.at,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "best": self.best,
            "optimizer": optimizer.state_dict() if optimizer else None,
            "teacher": self.teacher.state_dict() if self.teacher else None,
        }
        part = self.folder / "state.part"
        torch.save(state, part)
        part.replace(self.folder / "state.pt")

    def resume(self) -> dict[str, Any] | None:
        """Take up state.pt where there is one; returns the optimiser's state, if any."""
        path = self.folder / "state.pt"
        if not path.exists():
            return None
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.at, self.best = state["at"], state["best"]
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        if self.teacher:
            self.teacher.load_state_dict(state["teacher"])
        log.info("going on at %s", self.at)
        optimizer: dict[str, Any] | None = state["optimizer"]
        return optimizer

    def note(self, **row: Any) -> None:
        """Append a line to log.csv, tell TensorBoard, and say it."""
        path = self.folder / "log.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        self.board = self.board or SummaryWriter(self.folder)
        position = len(path.read_text().splitlines()) - 1
        for name, value in row.items():
            if isinstance(value, float):
                self.board.add_scalar(name, value, position)
        self.board.flush()  # a kill leaves the line on the board too
        said = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
        log.info("  ".join(said))

    def close(self) -> None:
        """Close what `note` opened."""
        if self.board:
            self.board.close()
            self.board = None

    # -- the phases -------------------------------------------------------------------------

    def fit(self) -> None:
        """Run what is left of every phase, then write best.safetensors."""
        try:
            self.fit_phases()
        finally:
            self.close()
        if not self.accelerator.is_main_process:
            return
        path = self.folder / "best.part"
        state = {k: v.detach().cpu().contiguous() for k, v in self.best.items()}
        safetensors.torch.save_file(state, path)
        path.replace(self.folder / "best.safetensors")

    def fit_phases(self) -> None:
        """Go on where the run stands, to the end of the last phase."""
        optimizer_state = self.resume()
        if self.at["phase"] == 0:
            if self.model.get_submodule(self.backbone.head).weight.any():  # type: ignore[operator, union-attr]
                self.average.load_state_dict(self.model.state_dict())
                self.judge("initial weights", math.nan, 0.0, time.monotonic())
            else:
                self.fit_head()
            self.begin(1)
        for number, phase in enumerate(self.recipe.phases, start=1):
            if self.at["phase"] == number:
                self.fit_phase(phase, optimizer_state)
                optimizer_state = None
                self.begin(number + 1)

    def begin(self, phase: int) -> None:
        """Start a phase from the best weights so far."""
        self.model.load_state_dict(self.best)
        self.average.load_state_dict(self.best)
        self.at |= {"phase": phase, "epoch": 0, "step": 0, "stale": 0}
        self.save()

    @torch.no_grad()
    def fit_head(self) -> None:
        """Phase 1: logistic regression on the features of the frozen backbone."""
        start = time.monotonic()
        chosen = self.draw(self.recipe.head_samples, 0, 0)
        self.take_statistics(chosen)
        features, labels = [], []
        for face in tqdm(
            loader(chosen, self.recipe.batch, self.workers),
            total=math.ceil(len(chosen) / self.recipe.batch),
            desc="head: features",
        ):
            with self.precision():
                maps = self.model.forward_features(face.x.to(self.device))  # type: ignore[operator]
                flat = self.model.forward_head(maps, pre_logits=True)  # type: ignore[operator]
            features.append(flat.float().cpu().numpy())
            labels.append(face.label.numpy())
        matrix, target = np.concatenate(features), np.concatenate(labels)
        mean, std = matrix.mean(0), matrix.std(0) + 1e-6
        probe = LogisticRegression(C=0.003, max_iter=500).fit((matrix - mean) / std, target)
        weight = probe.coef_[0] / std
        head = self.model.get_submodule(self.backbone.head)
        head.weight.copy_(torch.from_numpy(weight)[None])  # type: ignore[union-attr, operator]
        head.bias.fill_(float(probe.intercept_[0] - weight @ mean))  # type: ignore[union-attr, operator]
        self.average.load_state_dict(self.model.state_dict())
        loss = log_loss(target, probe.predict_proba((matrix - mean) / std)[:, 1])
        self.judge("head", loss, 0.0, start)

    def take_statistics(self, chosen: FaceSet, batches: int = 8) -> None:
        """Measure the batch-norm statistics of layers that came without weights.

        At their start values, mean 0 and variance 1, the features would be others than in training,
        and a head fitted to them would be wrong from the first step on.
        """
        fresh = [
            module
            for module in self.model.modules()
            if isinstance(module, nn.BatchNorm2d)
            and module.running_mean is not None
            and not module.running_mean.any()
        ]
        for module in fresh:
            module.train()
            module.momentum = None  # the plain mean over the batches
        if fresh:
            for face in itertools.islice(loader(chosen, self.recipe.batch, self.workers), batches):
                with self.precision():
                    self.model(face.x.to(self.device))
        for module in fresh:
            module.eval()
            module.momentum = 0.1

    def fit_phase(self, phase: Phase, optimizer_state: dict[str, Any] | None) -> None:
        """One phase: AdamW, a warm-up and cosine decay, an average of the weights."""
        recipe, accelerator = self.recipe, self.accelerator
        open_stages(self.model, self.backbone, phase.stages)
        groups = parameter_groups(
            self.model, self.backbone, phase.lr, recipe.depth_decay, recipe.weight_decay
        )
        optimizer = torch.optim.AdamW(list(groups))
        if self.teacher:
            optimizer.add_param_group({"params": self.teacher.parameters(), "lr": phase.lr})
        peaks = [group["lr"] for group in optimizer.param_groups]
        if optimizer_state:
            optimizer.load_state_dict(optimizer_state)
        network = accelerator.prepare_model(Everywhere(self.model))
        steps = math.ceil(recipe.samples / (recipe.batch * recipe.accumulate))
        saved = time.monotonic()
        done = int(self.at["epoch"]) * steps + int(self.at["step"])
        with tqdm(
            total=phase.epochs * steps,
            initial=done,
            desc=phase.name,
            disable=not accelerator.is_main_process,
        ) as bar:
            while self.at["epoch"] < phase.epochs and self.at["stale"] < recipe.patience:
                epoch, start, losses = int(self.at["epoch"]), time.monotonic(), []
                batches = self.batches(steps * recipe.accumulate, epoch)
                for step in range(int(self.at["step"]), steps):
                    factor = _factor((epoch * steps + step) / (phase.epochs * steps))
                    for group, peak in zip(optimizer.param_groups, peaks):
                        group["lr"] = peak * factor
                    losses.append(self.step(network, batches, optimizer, epoch * steps + step))
                    bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}", refresh=False)
                    bar.update()
                    self.at["step"] = step + 1
                    if time.monotonic() - saved > self.save_every:
                        self.save(optimizer)
                        saved = time.monotonic()
                self.at |= {"epoch": epoch + 1, "step": 0}
                loss = float(np.mean(losses)) if losses else math.nan  # killed at the epoch's end
                self.judge(phase.name, loss, peaks[0] * factor, start)
                self.save(optimizer)
                saved = time.monotonic()

    def batches(self, count: int, epoch: int) -> Iterator[Face]:
        """This process's part of what is left of an epoch of `count` batches."""
        recipe = self.recipe
        chosen = self.draw(count * recipe.batch, int(self.at["phase"]), epoch)
        first = int(self.at["step"]) * recipe.accumulate
        world = self.accelerator.num_processes, self.accelerator.process_index
        return loader(chosen, recipe.batch, self.workers, first, world)

    def step(
        self,
        network: nn.Module,
        batches: Iterator[Face],
        optimizer: torch.optim.Optimizer,
        done: int,
    ) -> float:
        """One step on the next `accumulate` batches; returns its loss."""
        recipe = self.recipe
        rng = np.random.default_rng(
            (recipe.seed, int(self.at["phase"]), done, self.accelerator.process_index)
        )
        optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for face in itertools.islice(batches, recipe.accumulate):
            x, y, where = (part.to(self.device) for part in face)
            y, where = (t * (1 - 2 * recipe.smoothing) + recipe.smoothing for t in (y, where))
            if recipe.mixup:
                x, y, where = mix((x, y, where), recipe.mixup, rng)
            seen = shrink(x, recipe.size)
            if recipe.window:
                seen, where = window(seen, where, recipe.window, rng)
            with self.precision():
                logits, places = network(seen)
                loss = binary_cross_entropy_with_logits(logits, y)
                if recipe.local:
                    loss = (loss + recipe.local * local_loss(places, where)) / (1 + recipe.local)
                if self.teacher:
                    hints = self.teacher(x, logits)
                    loss = (1 - recipe.teaching) * loss + recipe.teaching * hints
            loss = loss / recipe.accumulate
            self.accelerator.backward(loss)
            total += float(loss.detach())
        if self.teacher:
            for parameter in self.teacher.parameters():
                parameter.grad = self.accelerator.reduce(parameter.grad, "mean")
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        optimizer.step()
        # The average starts short, or its first epochs would be those of the start weights.
        decay = min(recipe.ema, (1 + done) / (10 + done))
        with torch.no_grad():
            for kept, new in zip(
                self.average.state_dict().values(), self.model.state_dict().values()
            ):
                if kept.is_floating_point():
                    kept.lerp_(new, 1 - decay)
                else:
                    kept.copy_(new)
        return total

    def judge(self, phase: str, loss: float, lr: float, start: float) -> None:
        """Measure the averaged weights on val, and keep them if they are the best so far."""
        if self.accelerator.is_main_process:
            seconds = time.monotonic() - start
            labels, logits = self.predict(FaceSet(self.val, self.faces, self.how))
            auc = float(roc_auc_score(labels, logits))
            generated = {record.sha256 for record in without_swaps(self.val)}
            chosen = np.array([record.sha256 in generated for record in self.val])
            auc_generated = float(roc_auc_score(labels[chosen], logits[chosen]))
            judged, share, on_blends = auc_generated, self.recipe.blend_share, {}
            if share:  # each kind of fake counts as it does in training
                on_blends["val_auc_blended"] = self.judge_blends(logits[labels == 0])
                judged = (1 - share) * judged + share * on_blends["val_auc_blended"]
            better = judged > self.at["best_auc"]
            if better:
                self.best = {k: v.clone() for k, v in self.average.state_dict().items()}
            self.at["stale"] = 0 if better else self.at["stale"] + 1
            self.at["best_auc"] = max(judged, self.at["best_auc"])
            self.note(
                phase=phase, epoch=self.at["epoch"], loss=loss, val_auc=auc,
                val_auc_without_swaps=auc_generated, lr=lr, seconds=seconds, **on_blends,
            )  # fmt: skip
        if self.accelerator.num_processes > 1:
            self.at, self.best = broadcast_object_list([self.at, self.best])

    def judge_blends(self, clean: Array) -> float:
        """AUC of the self-blended photographs of val against the clean ones' logits (N,)."""
        photographs = [record for record in self.val if record.label == 0]
        seed = (0,)  # the same blends for every run
        blends = FaceSet(photographs, self.faces, self.how, UNCHANGED, seed, blend=1.0)
        labels, blended = self.predict(blends)
        truth = np.concatenate([np.zeros(len(clean)), labels])
        return float(roc_auc_score(truth, np.concatenate([clean, blended])))

    @torch.no_grad()
    def predict(self, faces: FaceSet) -> tuple[Array, Array]:
        """Labels and logits (N,) of the averaged weights."""
        self.average.eval()
        labels, logits = [], []
        for face in loader(faces, self.recipe.batch, self.workers):
            with self.precision():
                logits.append(self.average(face.x.to(self.device)).float().flatten().cpu().numpy())
            labels.append(face.label.numpy())
        return np.concatenate(labels), np.concatenate(logits)

    def draw(self, count: int, phase: int, epoch: int) -> FaceSet:
        """The faces of one epoch: a function of the seed, the phase and the epoch alone."""
        seed = (self.recipe.seed, phase, epoch)
        made = self.recipe.blend_share, self.recipe.resample_share
        # A teacher sees each face as large as it learnt to; the student gets a smaller copy.
        size = self.teacher.size if self.teacher and phase else self.recipe.size
        how = dataclasses.replace(self.how, size=size)
        records = draw(
            self.train, count, self.recipe.swap_share, seed, sum(made), self.recipe.by_family
        )
        return FaceSet(records, self.faces, how, self.recipe.augmentation, seed, *chances(*made))

    def precision(self) -> torch.autocast:
        """bfloat16 where it is quick; parameters stay in full precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=quick_bfloat16(self.device))


def quick_bfloat16(device: torch.device) -> bool:
    """Whether the hardware computes in bfloat16; a CPU that emulates it is ten times slower."""
    if device.type != "cpu":
        return True
    return any(has for what, has in torch.cpu.get_capabilities().items() if "bf16" in what)


def limited(records: list[Record], limit: int | None, seed: int) -> list[Record]:
    """At most `limit` records, drawn by the seed."""
    if limit is None or limit >= len(records):
        return records
    chosen = np.random.default_rng(seed).choice(len(records), limit, replace=False)
    return [records[i] for i in sorted(chosen)]


def mix(
    batch: Sequence[torch.Tensor], alpha: float, rng: np.random.Generator
) -> list[torch.Tensor]:
    """Each picture of a batch, and what is known of it, mixed with another's.

    Args:
        batch: pictures and labels, of the same length N.
        alpha: the share is one draw of Beta(alpha, alpha).
    """
    ratio = float(rng.beta(alpha, alpha))
    order = torch.from_numpy(rng.permutation(len(batch[0])))
    return [ratio * part + (1 - ratio) * part[order.to(part.device)] for part in batch]


def _factor(progress: float) -> float:
    """The learning rate as a share of its peak: a short warm-up, then a cosine down to 2 %."""
    if progress < 0.05:
        return 0.1 + 0.9 * progress / 0.05
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - 0.05) / 0.95))


def initialise(model: nn.Module, backbone: str, init: str) -> None:
    """Fill a network with initial weights; without a head among them, its head stays at zero.

    Args:
        init: "pretrained" (timm's, from its hub), "random", or the path of a safetensors file
            that may hold fewer layers than the network, and no others.

    Raises:
        CheckpointMismatch: the file holds layers that the network lacks, or of another shape.
    """
    if init == "random":
        # ConvNeXt's layer scale of 1e-6 is for hundreds of epochs; short runs would end before
        # its blocks say anything.
        for name, parameter in model.named_parameters():
            if name.endswith(".gamma"):
                nn.init.constant_(parameter, 0.1)
        return
    if init == "pretrained":
        state = timm.create_model(backbone, pretrained=True, num_classes=0).state_dict()
    else:
        state = safetensors.torch.load_file(init)
    own = model.state_dict()
    wrong = sorted(k for k, v in state.items() if k not in own or own[k].shape != v.shape)
    if wrong:
        raise CheckpointMismatch(
            f"{init} does not fit {backbone} ({len(wrong)} tensors, first {wrong[0]}); give the "
            "weights of this backbone."
        )
    model.load_state_dict({**own, **state})
    log.info("%d of %d tensors from %s", len(state), len(own), init)


def teach(run: Run, folder: Path) -> Teacher:
    """The finished run in `folder` as the teacher of this one."""
    recipe = json.loads((folder / "run.json").read_text())["recipe"]
    backbone = BACKBONES[recipe["backbone"]]
    network = build(backbone.name).to(run.device)
    network.load_state_dict(safetensors.torch.load_file(folder / "best.safetensors"))
    return Teacher(network, backbone, run.model, run.backbone, recipe["size"])


def load_recipe(name: str) -> Recipe:
    """The RECIPE of train/recipes/NAME.py."""
    recipe: Recipe = importlib.import_module(f"train.training.recipes.{name}").RECIPE
    return recipe


def describe(
    args: argparse.Namespace, recipe: Recipe, train: list[Record], accelerator: Accelerator
) -> dict[str, Any]:
    """What a run was, for the card of the model that comes of it; `after` is the run before it."""
    init = Path(args.init)
    before = init.parent / "run.json"
    return {
        "command": f"python -m train.finetune {args.recipe} --data "
        + " ".join(short(spec) for spec in args.data)
        + f" --init {init if before.exists() else init.name}"
        + (f" --only {' '.join(args.only)}" if args.only else "")
        + (f" --teacher {args.teacher}" if args.teacher else ""),
        "seed": recipe.seed,
        "recipe": dataclasses.asdict(recipe),
        "data": fingerprint(train),
        "pictures": len(train),
        "photographs": sum(r.label == 0 for r in train),
        "sources_of_photographs": len({r.source for r in train if r.label == 0}),
        "families_of_fakes": sorted({r.family for r in train if r.label}),
        "torch": torch.__version__,
        "device": str(accelerator.device),
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "after": json.loads(before.read_text()) if before.exists() else None,
    }


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipe", help="a file of train/recipes, without .py")
    add_data_arguments(parser)
    parser.add_argument(
        "--init", default="pretrained", help="pretrained (default), random, or a safetensors file"
    )
    parser.add_argument("--only", nargs="+", metavar="SOURCE", help="learn from these alone")
    parser.add_argument("--teacher", type=Path, help="the folder of a finished run to learn from")
    parser.add_argument("--run", type=Path, help="its folder (default runs/RECIPE)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", choices=("cpu",), help="default: the GPU where there is one")
    parser.add_argument("--detector", help="yunet or haar (default: the best at hand)")
    parser.add_argument("--save-every", type=float, default=120, help="seconds between saves")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")

    keep_freed()
    recipe = load_recipe(args.recipe)
    if args.teacher and recipe.window:
        parser.error("a teacher looks at whole pictures; set the recipe's window to 0")
    folder = args.run or Path("runs") / args.recipe
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    records = [r for r in read_data(args) if r.split in ("train", "val")]
    if args.only:
        records = only(records, args.only)
    detector = open_detector(args.detector)
    faces = find_faces(records, detector, Path("runs") / f"faces-{detector.name}.json")
    accelerator = Accelerator(cpu=args.device == "cpu")
    run = Run(recipe, records, faces, folder, args.workers, accelerator, args.save_every)
    log.info(
        "train %d  val %d  (%d without a face)  data %s  groups in more than one split: %d",
        len(run.train), len(run.val), len(records) - len(run.train) - len(run.val),
        fingerprint(records), check_groups(records),
    )  # fmt: skip
    log.info("%s", dataclasses.asdict(recipe))
    if accelerator.is_main_process:
        about = describe(args, recipe, run.train, accelerator)
        (folder / "run.json").write_text(json.dumps(about, indent=2))
    initialise(run.model, recipe.backbone, args.init)
    if args.teacher:
        run.teacher = teach(run, args.teacher)
    run.fit()


if __name__ == "__main__":
    main()
