"""Tensor -> logits: the device, the precision and the batches."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from .backbones import BACKBONES, pick_device
from .calibrate import Calibration
from .preprocess import Preprocessing, face_tensor
from .types import RGB, Box, FloatArray, Score

_BATCH = 32


class Model:
    """A network in evaluation mode with all that belongs to it; safe to share between threads.

    Attributes:
        name: as in its card.
        network: on `device`, in evaluation mode, parameters frozen.
        preprocessing, calibration: see there.
        cam_layer: the module that Grad-CAM explains.
        lock: held while hooks sit on the network.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        backbone: str,
        preprocessing: Preprocessing,
        calibration: Calibration,
        device: str | None = None,
    ) -> None:
        self.name = name
        self.device = pick_device(device)
        self.network = network.eval().requires_grad_(False).to(self.device)
        self.network.to(memory_format=torch.channels_last)
        self.preprocessing = preprocessing
        self.calibration = calibration
        self.cam_layer = self.network.get_submodule(BACKBONES[backbone].cam_layer)
        self.lock = threading.Lock()

    def tensor(self, image: RGB, boxes: Sequence[Box]) -> torch.Tensor:
        """The faces of a picture as the network's input, (N, 3, S, S) on its device."""
        faces = [face_tensor(image, box, self.preprocessing) for box in boxes]
        batch = torch.stack(faces).to(self.device)
        return batch.contiguous(memory_format=torch.channels_last)

    def logits(self, batch: torch.Tensor) -> FloatArray:
        """Raw logits, float32 (N,), of an input from `tensor`; half precision on a GPU.

        The mean over a face and its mirror image: on val it is worth as much as epochs of training
        (see train/LOG.md), and a mirrored photo gets the same answer.
        """
        out = []
        with self.lock, torch.inference_mode(), self.precision():
            for part in torch.split(batch, _BATCH):
                both = self.network(part).float() + self.network(part.flip(3)).float()
                out.append((both / 2).flatten().cpu().numpy())
        return np.concatenate(out) if out else np.empty(0, np.float32)

    def precision(self) -> torch.autocast:
        """Mixed precision on CUDA; full precision elsewhere."""
        return torch.autocast(self.device.type, torch.float16, enabled=self.device.type == "cuda")

    def score(self, logit: float) -> Score:
        """A logit, read by this model's calibration."""
        p_fake = self.calibration.probability(logit)
        return Score(self.name, logit, p_fake, self.calibration.verdict(p_fake))
