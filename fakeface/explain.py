"""Where a model looked, and whether that is true, both by the grad-cam package.

Grad-CAM is of Selvaraju et al. (ICCV 2017); ROAD of Rong et al., "A Consistent and Efficient
Evaluation Strategy for Attribution Methods" (ICML 2022).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.metrics.road import NoisyLinearImputer, neighbors_weights
from pytorch_grad_cam.utils.model_targets import BinaryClassifierOutputTarget
from scipy.sparse import csc_array
from scipy.sparse.linalg import spsolve
from scipy.special import expit

from fakeface.models.backbones import feature_map
from fakeface.models.engine import Model
from fakeface.types import FloatArray

_HIDDEN = (0.1, 0.3, 0.5)  # shares of the pixels


def grad_cam(model: Model, batch: torch.Tensor, logits: FloatArray) -> FloatArray:
    """Grad-CAM of each face: evidence for the side that the calibrated logit is on.

    Args:
        model: any model; its network is locked meanwhile, since the hooks sit on it.
        batch: (N, 3, S, S) from `Model.tensor`.
        logits: (N,) from `Model.logits` of the same batch.

    Returns:
        float32 (N, S, S) in [0, 1]; each map is scaled to its own maximum, so brightness
        compares places within a face and says nothing about how sure the model is.
    """
    sides = model.calibration.calibrate(logits) > 0
    targets = [BinaryClassifierOutputTarget(int(fake)) for fake in sides]
    with model.lock, torch.enable_grad():
        # Parameters are frozen, so the gradient must start somewhere: at the explained layer and
        # not at the input, since what lies below it would take time and change nothing.
        start = model.cam_layer.register_forward_hook(
            lambda module, inputs, output: output.detach().requires_grad_()
        )
        tokens = model.backbone.prefix_tokens
        cam = GradCAM(
            model.network,
            [model.cam_layer],
            reshape_transform=lambda output: feature_map(output, tokens),
        )
        try:
            maps = cam(batch, targets)
        finally:
            cam.activations_and_grads.release()
            start.remove()
    return np.asarray(maps, dtype=np.float32)


def faithfulness(
    model: Model, batch: torch.Tensor, logits: FloatArray, maps: FloatArray
) -> list[tuple[float, float]]:
    """ROAD of heatmaps, and of a random map to compare with.

    In one copy of the face the hottest places are hidden, that is filled in from what surrounds
    them, and in another copy as many of the coldest. The number is how much lower p of the model's
    side is in the first copy than in the second, halved, and averaged over the shares that are
    hidden. A map that shows what matters gets more than a random one, whose mean over many faces
    is 0.

    Only the order of a map's values counts; equal ones are put in a fixed random order, since a
    map may be 0 in most places. The random map has a heatmap's few values, enlarged alike: single
    pixels at random would be filled in perfectly. The noise that the method adds to what it fills
    in is left out, so that the same face always gets the same number.

    It solves 12 sparse systems of up to half the pixels: a face of 224 px takes 2.3 s of one
    core. The customary nine shares, up to 90 %, would take several times as long.

    Args:
        model: that explained them.
        batch: (N, 3, S, S) from `Model.tensor`.
        logits: (N,) from `Model.logits` of the same batch.
        maps: (N, S, S) from `grad_cam`.

    Returns:
        For each face the number of its map and that of the random one, both in [-1, 1].
    """
    rng = np.random.default_rng(0)
    side = batch.shape[-1]
    grid = max(2, side // model.backbone.stride)
    chance = np.asarray(cv2.resize(rng.random((grid, grid), np.float32), (side, side)), np.float32)
    order = rng.random(side * side)

    def ranks(values: FloatArray) -> FloatArray:
        place = np.empty(values.size, np.float32)
        place[np.lexsort((order, values.ravel()))] = np.arange(values.size)
        return place.reshape(values.shape) / np.float32(values.size)

    how = model.calibration
    out = []
    for face, logit, values in zip(batch.cpu(), logits, maps):
        copies = [
            _without(face, hidden)
            for place in (ranks(values), ranks(chance))
            for hidden in [*(place >= 1 - h for h in _HIDDEN), *(place < h for h in _HIDDEN)]
        ]
        fakes = expit(how.calibrate(model.logits(torch.stack(copies).to(batch.device))))
        left = fakes if how.calibrate(float(logit)) > 0 else 1 - fakes
        hot, cold = np.reshape(left, (2, 2, len(_HIDDEN))).mean(axis=2).T
        own, random = (cold - hot) / 2
        out.append((float(own), float(random)))
    return out


def _without(face: torch.Tensor, hidden: npt.NDArray[np.bool_]) -> torch.Tensor:
    """A face (3, S, S) whose hidden pixels (S, S) are each a mean of their eight neighbours.

    The package's own function does the same with a NumPy call that will cease to work on tensors.
    """
    system, known = NoisyLinearImputer.setup_sparse_system(
        (~hidden).astype(np.float32), face.numpy(), neighbors_weights
    )
    filled = face.clone()
    filled[:, torch.from_numpy(hidden)] = torch.from_numpy(
        spsolve(csc_array(system), known).T.astype(np.float32)
    )
    return filled
