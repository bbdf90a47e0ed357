"""The weights that a run starts from."""

from __future__ import annotations

import logging

import safetensors.torch
import timm
import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import nn

from fakeface.models.backbones import BACKBONES
from fakeface.types import CheckpointMismatch

log = logging.getLogger("train")

_POSITIONS = "pos_embed"


def initialise(model: nn.Module, backbone: str, init: str) -> None:
    """Fill a network with initial weights; without a head among them, its head stays at zero.

    Args:
        model: from `fakeface.models.backbones.build`.
        backbone: its name.
        init: "pretrained" (timm's, from its hub), "random", or the path of a safetensors file
            that may hold fewer layers than the network, and no others. Position embeddings of
            another picture size are resampled.

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
    if _POSITIONS in state and _POSITIONS in own:
        prefix = BACKBONES[backbone].prefix_tokens
        state[_POSITIONS] = _resample_positions(state[_POSITIONS], own[_POSITIONS], prefix)
    wrong = sorted(k for k, v in state.items() if k not in own or own[k].shape != v.shape)
    if wrong:
        raise CheckpointMismatch(
            f"{init} does not fit {backbone} ({len(wrong)} tensors, first {wrong[0]}); give the "
            "weights of this backbone."
        )
    model.load_state_dict({**own, **state})
    log.info("%d of %d tensors from %s", len(state), len(own), init)


def _resample_positions(given: torch.Tensor, own: torch.Tensor, prefix: int) -> torch.Tensor:
    """Position embeddings (1, prefix + S · S, C) for as many patches as `own` has."""
    if given.shape == own.shape:
        return given
    side = round((own.shape[1] - prefix) ** 0.5)
    resampled: torch.Tensor = resample_abs_pos_embed(given, [side, side], num_prefix_tokens=prefix)
    return resampled
