"""The networks: one frozen record holds every fact about a backbone.

A backbone ends in a single logit, whose sigmoid is p(fake) before calibration.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

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
        stages: names of modules or single parameters from stem to last stage; progressive
            unfreezing opens them from the end. Together with `head` they cover every parameter.
        head: module name of the classifier.
        cam_layer: module whose output Grad-CAM explains.
        style_maps: which of timm's intermediate maps tell the style of a picture: those whose
            places are 4 and 8 pixels apart, and of a transformer of early blocks; see
            `outputs.describe_style`.
        stride: pixels of the input for one place of that output.
        prefix_tokens: of a transformer, how many tokens stand before those of the patches.
        fast_in_bf16: training on a CPU that computes in bfloat16 is faster in it than in float32.
            Nets of 3x3 depthwise convolutions are not: on an AMD Zen 5 with AVX-512,
            EfficientNet-Lite2 at 160 px trains 38 images a second in float32 and 23 in bfloat16,
            on one core.
        options: of timm's constructor.
    """

    name: str
    title: str
    stages: tuple[tuple[str, ...], ...]
    head: str
    cam_layer: str
    style_maps: tuple[int, ...] = (1, 2)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    input_size: int = 224
    stride: int = 32
    prefix_tokens: int = 0
    fast_in_bf16: bool = True
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)


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

# DINOv2's position embedding is of 518 px; initial weights are resampled to 224, and it is
# interpolated for other sizes. The head reads the mean of the patch tokens behind the last norm, as
# the other nets' heads read the mean of their last map: so each patch has a logit and a place in
# the heatmap, which the class token alone would not give.
_DINOV2_STAGES = (
    ("cls_token", "pos_embed", "patch_embed"),
    ("blocks.0", "blocks.1", "blocks.2"),
    ("blocks.3", "blocks.4", "blocks.5"),
    ("blocks.6", "blocks.7", "blocks.8"),
    ("blocks.9", "blocks.10", "blocks.11", "norm"),
)
_DINOV2_OPTIONS = {
    "img_size": 224,
    "dynamic_img_size": True,
    "dynamic_img_pad": True,
    "global_pool": "avg",
    "fc_norm": False,
}

BACKBONES: Mapping[str, Backbone] = MappingProxyType(
    {
        b.name: b
        for b in (
            _resnet("resnet18", "ResNet-18"),
            _resnet("resnet50", "ResNet-50"),
            Backbone(
                "convnext_tiny",
                "ConvNeXt-Tiny",
                _CONVNEXT_STAGES,
                "head.fc",
                "stages.3",
                style_maps=(0, 1),
            ),
            Backbone(
                "mobilenetv2_100",
                "MobileNetV2",
                _MOBILE_STAGES,
                "classifier",
                "blocks.6",
                fast_in_bf16=False,
            ),
            Backbone(
                "tf_efficientnet_lite2",
                "EfficientNet-Lite2",
                _MOBILE_STAGES,
                "classifier",
                "blocks.6",
                mean=(0.5, 0.5, 0.5),
                std=(0.5, 0.5, 0.5),
                fast_in_bf16=False,
            ),
            Backbone(
                "vit_small_patch14_dinov2",
                "DINOv2 ViT-S/14",
                _DINOV2_STAGES,
                "head",
                "norm",
                style_maps=(2, 5),
                stride=14,
                prefix_tokens=1,
                options=_DINOV2_OPTIONS,
            ),
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
    model: nn.Module = timm.create_model(backbone.name, num_classes=1, **backbone.options)
    head = model.get_submodule(backbone.head)
    if not isinstance(head, nn.Linear):
        raise TypeError(f"{name}: the head {backbone.head} is {type(head).__name__}, not Linear")
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return model.eval()


def parts(model: nn.Module, names: Sequence[str]) -> Iterator[nn.Module | nn.Parameter]:
    """The modules and single parameters of a network that `Backbone.stages` names."""
    for name in names:
        owner, _, last = name.rpartition(".")
        yield getattr(model.get_submodule(owner), last)


def feature_map(output: torch.Tensor, prefix_tokens: int = 0) -> torch.Tensor:
    """A layer's output as a map (N, C, H, W).

    Args:
        output: a map already, or the tokens of a square picture (N, prefix_tokens + S · S, C).
        prefix_tokens: how many tokens stand before those of the patches.
    """
    if output.ndim == 4:
        return output
    patches = output[:, prefix_tokens:]
    side = math.isqrt(patches.shape[1])
    return patches.transpose(1, 2).reshape(len(patches), -1, side, side)


def parameters(model: nn.Module) -> int:
    """How many parameters a network has."""
    return sum(p.numel() for p in model.parameters())


def pick_device(name: str | None = None) -> torch.device:
    """The device asked for, or CUDA where there is a GPU, else the CPU."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
