"""Where a model looked: Grad-CAM (Selvaraju et al., ICCV 2017) by the grad-cam package."""

from __future__ import annotations

import numpy as np
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import BinaryClassifierOutputTarget

from .engine import Model
from .types import FloatArray


def grad_cam(model: Model, batch: torch.Tensor, logits: FloatArray) -> FloatArray:
    """Grad-CAM of each face for the side its logit is on: evidence for fake above 0, else for real.

    Args:
        model: any model; its network is locked meanwhile, since the hooks sit on it.
        batch: (N, 3, S, S) from `Model.tensor`.
        logits: (N,) from `Model.logits` of the same batch.

    Returns:
        float32 (N, S, S) in [0, 1]; each map is scaled to its own maximum, so brightness
        compares places within a face and says nothing about how sure the model is.
    """
    targets = [BinaryClassifierOutputTarget(int(logit > 0)) for logit in logits]
    with model.lock, torch.enable_grad():
        # Parameters are frozen, so the gradient must start somewhere: at the explained layer and
        # not at the input, since what lies below it would take time and change nothing.
        start = model.cam_layer.register_forward_hook(
            lambda module, inputs, output: output.detach().requires_grad_()
        )
        cam = GradCAM(model.network, [model.cam_layer])
        try:
            maps = cam(batch, targets)
        finally:
            cam.activations_and_grads.release()
            start.remove()
    return np.asarray(maps, dtype=np.float32)
