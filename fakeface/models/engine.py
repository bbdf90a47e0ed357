"""Tensor -> logits: the device, the engine, the precision and the batches.

PyTorch is the reference, and the engine of heatmaps and of GPUs. On a CPU OpenVINO runs the network
where it gives the same logits, several times as fast. FAKEFACE_ENGINE chooses: torch, openvino or,
as without it, auto. int8 is never chosen by itself: OpenVINO then runs `model.int8.onnx`, another
network with a checksum of its own, whose answers differ a little (train/LOG.md).
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import nn

from fakeface.models.backbones import BACKBONES, pick_device
from fakeface.models.calibrate import Calibration
from fakeface.models.card import Card
from fakeface.models.out_of_distribution import Reference
from fakeface.models.outputs import Outputs
from fakeface.models.preprocess import Preprocessing, face_tensor
from fakeface.models.runtime import (
    PRECISIONS,
    Runtime,
    compile_network,
    computes_bf16,
    read_network,
)
from fakeface.models.tensors import mirror, stack
from fakeface.types import RGB, Box, EngineError, FloatArray, Score

ENGINES: Final = ("auto", "torch", "openvino", "int8")
# Faces at a time. On a CPU the feature maps of more faces do not fit into its caches, and memory
# for blocks of over 32 MB is requested from the system anew each time.
_CPU_PART, _GPU_PART = 4, 32


def pick_engine(engine: str | None = None) -> str:
    """One of `ENGINES`: the given one, else that of FAKEFACE_ENGINE, else auto.

    Raises:
        EngineError: there is no such engine.
    """
    engine = engine or os.environ.get("FAKEFACE_ENGINE") or "auto"
    if engine not in ENGINES:
        raise EngineError(f"There is no engine {engine!r}; choose one of {', '.join(ENGINES)}.")
    return engine


class Model:
    """A network in evaluation mode with all that belongs to it; safe to share between threads.

    Attributes:
        card: what is known of it.
        network: on `device`, in evaluation mode, parameters frozen.
        backbone: the facts about its network.
        outputs: what a pass of the network gives.
        head: its last layer, from features to the logit.
        cam_layer: the module that Grad-CAM explains.
        reference: the faces it learnt from, for the out-of-distribution score; None where it ships
            none.
        runtime: what runs the network in PyTorch's place; None where PyTorch does.
        lock: held while the network runs, or while hooks sit on it.
    """

    def __init__(
        self,
        card: Card,
        network: nn.Module,
        device: str | None = None,
        *,
        reference: Reference | None = None,
    ) -> None:
        self.card = card
        self.device = pick_device(device)
        self.network = network.eval().requires_grad_(False).to(self.device)
        self.network.to(memory_format=torch.channels_last)
        self.backbone = BACKBONES[card.backbone]
        self.outputs = Outputs(self.network, self.backbone.style_maps)
        self.head = self.network.get_submodule(self.backbone.head)
        self.cam_layer = self.network.get_submodule(self.backbone.cam_layer)
        self.reference = reference
        self.lock = threading.Lock()
        self.runtime: Runtime | None = None
        self._int8 = ""  # sha256 of the int8 network that runs in the network's place

    def speed_up(self, engine: str | None = None) -> None:
        """Let OpenVINO run the network, where it can; in bfloat16 where the card allows that.

        Args:
            engine: "auto", "torch" or "openvino"; None for that of FAKEFACE_ENGINE.

        Raises:
            EngineError: there is no such engine, or OpenVINO was asked for and cannot run it.
        """
        engine = pick_engine(engine)
        self._int8 = ""
        if engine == "torch" or (engine == "auto" and self.device.type != "cpu"):
            self.runtime = None
            return
        self.runtime = None
        for precision in PRECISIONS if self.card.shortcuts.bf16 and computes_bf16() else ("f32",):
            self.runtime = self.runtime or compile_network(
                self.outputs,
                self.preprocessing.size,
                sha256=self.sha256,
                precision=precision,
            )
        if engine == "openvino" and self.runtime is None:
            raise EngineError(
                f"OpenVINO cannot run {self.name!r} on this machine; choose the engine auto."
            )

    def run_int8(self, network: bytes) -> None:
        """Let OpenVINO run another network in this one's place, for all but heatmaps.

        It tells no style, so there is no out-of-distribution score.

        Args:
            network: of `model.int8.onnx`.

        Raises:
            EngineError: the model is on a GPU, or OpenVINO cannot run it.
        """
        if self.device.type != "cpu":
            raise EngineError("int8 runs on the CPU alone; choose the device cpu.")
        self.runtime, self.reference = read_network(network), None
        self._int8 = hashlib.sha256(network).hexdigest()

    @property
    def engine(self) -> str:
        """What runs the network: "torch", "openvino" or "int8"."""
        return "torch" if self.runtime is None else "int8" if self._int8 else "openvino"

    @property
    def title(self) -> str:
        """As in its card, with its precision where that is not the usual."""
        return f"{self.card.title}, int8" if self._int8 else self.card.title

    @property
    def name(self) -> str:
        """As in its card."""
        return self.card.name

    @property
    def preprocessing(self) -> Preprocessing:
        """What the network is fed."""
        return self.card.preprocessing

    @property
    def calibration(self) -> Calibration:
        """How its logits are read."""
        return self.card.calibration

    @property
    def sha256(self) -> str:
        """Of the file whose weights give the logits; empty where they came from no file."""
        return self._int8 or self.card.sha256

    def tensor(self, image: RGB, boxes: Sequence[Box]) -> torch.Tensor:
        """The faces of a picture as the network's input, (N, 3, S, S) on its device."""
        faces = [face_tensor(image, box, self.preprocessing) for box in boxes]
        batch = stack(faces).to(self.device)
        return batch if self.runtime else batch.contiguous(memory_format=torch.channels_last)

    def forward(self, batch: torch.Tensor) -> tuple[FloatArray, FloatArray]:
        """Raw logits and the style of an input from `tensor`; half precision on a GPU.

        A logit is the mean over a face and its mirror image: on val that is worth as much as
        epochs of training (see train/LOG.md), and a mirrored photo gets the same answer.

        Returns:
            float32 (N,), and of the face as it is, float32 (N, D); see `outputs.describe_style`.
        """
        logits, styles = [np.empty(0, np.float32)], []
        with self.lock, torch.inference_mode(), self.precision():
            for part in self._parts(batch):
                z, style = self._pass(part)
                mirrored, _ = self._pass(mirror(part))
                logits.append(((z + mirrored) / 2).flatten().cpu().numpy())
                styles.append(style.cpu().numpy())
        return np.concatenate(logits), np.concatenate(styles)

    def logits(self, batch: torch.Tensor) -> FloatArray:
        """The first of what `forward` returns."""
        return self.forward(batch)[0]

    def style(self, batch: torch.Tensor) -> FloatArray:
        """The second of what `forward` returns, in part of the time; by PyTorch."""
        with self.lock, torch.inference_mode(), self.precision():
            parts = [self.outputs.style(part).cpu().numpy() for part in self._parts(batch)]
        return np.concatenate(parts)

    def _parts(self, batch: torch.Tensor) -> Sequence[torch.Tensor]:
        """As many faces at a time as the device likes; one part even of nothing, which tells D."""
        return torch.split(batch, _CPU_PART if self.device.type == "cpu" else _GPU_PART)

    def _pass(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (N, 1) and style (N, D)."""
        if self.runtime and len(batch):
            logits, style = self.runtime(batch)
            return torch.from_numpy(logits), torch.from_numpy(style)
        found: tuple[torch.Tensor, torch.Tensor] = self.outputs(batch)
        return found

    def precision(self) -> torch.autocast:
        """Mixed precision on CUDA; full precision elsewhere."""
        return torch.autocast(self.device.type, torch.float16, enabled=self.device.type == "cuda")

    def score(self, logit: float) -> Score:
        """A logit, read by this model's calibration."""
        p_fake = self.calibration.probability(logit)
        return Score(self.name, logit, p_fake, self.calibration.verdict(p_fake))
