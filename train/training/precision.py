"""In which precision a step is computed; parameters stay in float32."""

from __future__ import annotations

from typing import Literal

import torch

from fakeface.models.backbones import Backbone

Precision = Literal["auto", "fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("auto", "fp32", "bf16")


def autocast(precision: Precision, device: torch.device, backbone: Backbone) -> torch.autocast:
    """The context to compute in; "auto" takes what is faster for this network on this device."""
    bf16 = faster_in_bf16(device, backbone) if precision == "auto" else precision == "bf16"
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)


def faster_in_bf16(device: torch.device, backbone: Backbone) -> bool:
    """Whether a network trains faster in bfloat16; a CPU that emulates it is ten times slower."""
    if device.type != "cpu":
        return True
    has_bf16 = any(has for what, has in torch.cpu.get_capabilities().items() if "bf16" in what)
    return has_bf16 and backbone.fast_in_bf16
