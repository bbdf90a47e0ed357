"""The networks: one frozen record holds every fact about a backbone.

A backbone ends in a single logit, whose sigmoid is p(fake) before calibration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import timm
import torch
from torch import nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Backbone:
    """Facts about one network.

    Attributes:
        name: the timm model name, used everywhere.
        title: how people write it.
        mean, std: per channel, of RGB in [0, 1], as its initial weights were trained.
        input_size: side in pixels of the square it is given, unless a card says otherwise.
        stages: module names from stem to last stage; progressive unfreezing opens them from
            the end. Together with `head` they cover every parameter.
        head: module name of the classifier.
        cam_layer: module whose output Grad-CAM explains.
    """

    name: str
    title: str
    stages: tuple[tuple[str, ...], ...]
    head: str
    cam_layer: str
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    input_size: int = 224


def _resnet(name: str, title: str) -> Backbone:
    stages = (("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",))
    return Backbone(name, title, stages, head="fc", cam_layer="layer4")


# The last two strides of a MobileNet-like net are blocks.5 and blocks.6 with conv_head; they
# share one resolution and are opened together, as "the last stage".
_MOBILE_STAGES = (
    ("conv_stem", "bn1"),
    ("blocks.0", "blocks.1"),
    ("blocks.2",),
    ("blocks.3", "blocks.4"),
    ("blocks.5", "blocks.6", "conv_head", "bn2"),
)
_CONVNEXT_STAGES = (
    ("stem",),
    ("stages.0",),
    ("stages.1",),
    ("stages.2",),
    ("stages.3", "head.norm"),
)

BACKBONES: Mapping[str, Backbone] = MappingProxyType(
    {
        b.name: b
        for b in (
            _resnet("resnet18", "ResNet-18"),
            _resnet("resnet50", "ResNet-50"),
            Backbone("convnext_tiny", "ConvNeXt-Tiny", _CONVNEXT_STAGES, "head.fc", "stages.3"),
            Backbone("mobilenetv2_100", "MobileNetV2", _MOBILE_STAGES, "classifier", "blocks.6"),
        )
    }
)


def build(name: str) -> nn.Module:
    """A freshly initialised network with one output, in evaluation mode.

    The head starts at zero, so that the first loss is log 2 whatever the backbone: timm starts
    some heads at uniform(-1, 1), from which training hardly recovers.

    Args:
        name: a key of `BACKBONES`.

    Returns:
        A module that maps (N, 3, S, S) to logits (N, 1).

    Raises:
        KeyError: no such backbone.
    """
    backbone = BACKBONES[name]
    model: nn.Module = timm.create_model(backbone.name, num_classes=1)
    head = model.get_submodule(backbone.head)
    if not isinstance(head, nn.Linear):
        raise TypeError(f"{name}: the head {backbone.head} is {type(head).__name__}, not Linear")
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return model.eval()


def parameters(model: nn.Module) -> int:
    """How many parameters a network has."""
    return sum(p.numel() for p in model.parameters())


def pick_device(name: str | None = None) -> torch.device:
    """The device asked for, or CUDA where there is a GPU, else the CPU."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
