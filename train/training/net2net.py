"""A ResNet-50 that starts where a ResNet-18 stopped: `python -m train net2net RUN --data SOURCE`.

There may be no pretrained ResNet-50 at hand. Chen et al., "Net2Net: Accelerating Learning via
Knowledge Transfer" (ICLR 2016) grow a network without changing its function; here every 3x3
convolution of the small network becomes that of one bottleneck. A bottleneck ends in a ReLU that a
residual branch must not meet, so what it carries is lifted above zero and let down again.

Of the 4w channels between bottlenecks of width w, the first w carry what the ResNet-18 has there,
the next two quarters its two blocks' inner activations, and the rest starts at random, unread.
Stages 1 and 4 have room for three of four convolutions: the last one is there replaced by its best
1x1 approximation (least squares), so that the function is kept nearly and not wholly.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from fakeface.faces import open_detector
from fakeface.models.backbones import BACKBONES, build
from fakeface.models.preprocess import Preprocessing
from train.datasets.faces import FaceSet, face_cache, find_faces, loader
from train.datasets.sources import add_data_arguments, read_data

_LIFT = 6.0  # standard deviations; a branch that falls lower than that is cut


@torch.no_grad()
def widen(small: Any, faces: torch.Tensor) -> Any:
    """A resnet50 that computes nearly what a resnet18 computes.

    Args:
        small: a timm resnet18 with one output.
        faces: its input, (N, 3, S, S), over which the statistics of activations are taken.

    Returns:
        The resnet50, in evaluation mode.
    """
    small.eval()
    large: Any = build("resnet50")
    for name in ("conv1", "bn1"):
        large.get_submodule(name).load_state_dict(small.get_submodule(name).state_dict())
    x = small.maxpool(small.act1(small.bn1(small.conv1(faces))))
    for number in range(1, 5):
        blocks = small.get_submodule(f"layer{number}")
        bottlenecks = list(large.get_submodule(f"layer{number}"))
        width = bottlenecks[0].conv2.out_channels
        for index, block in enumerate(blocks):
            inner = block.act1(block.bn1(block.conv1(x)))
            branch = block.bn2(block.conv2(inner))
            first = bottlenecks[2 * index]
            scratch = slice((1 + index) * width, (2 + index) * width)
            main = slice(0, width)
            read(first, main, x)
            first.conv2.weight[:, : x.shape[1]] = block.conv1.weight
            first.conv2.weight[:, x.shape[1] :] = 0
            first.bn2.load_state_dict(block.bn1.state_dict())
            lifted: torch.Tensor | float = 0.0  # the side path, over the ReLU between the two
            if first.downsample is not None:
                lifted = shortcut(first, block, x)
            if 2 * index + 1 < len(bottlenecks):
                write(first, scratch, torch.eye(width), inner)
                second = bottlenecks[2 * index + 1]
                read(second, scratch, inner)
                second.conv2.weight.copy_(block.conv2.weight)
                second.bn2.load_state_dict(block.bn2.state_dict())
                second.bn2.bias += lift(block.bn2)
                above = branch + lift(block.bn2)[:, None, None]
                write(second, main, torch.eye(width), above, -lift(block.bn2) - lifted)
            else:
                weight, bias = least_squares(inner, branch)
                write(first, main, weight, inner, bias)
            x = block(x)
    large.fc.weight[:, : x.shape[1]] = small.fc.weight
    large.fc.bias.copy_(small.fc.bias)
    return large.eval()


def read(bottleneck: Any, channels: slice, x: torch.Tensor) -> None:
    """Let the first convolution hand on `channels`, whose values are `x`, unchanged.

    Its further units start at random, and on no more than what the small network also has.
    """
    conv, norm = bottleneck.conv1, bottleneck.bn1
    count = x.shape[1]
    conv.weight[:count] = 0
    index = torch.arange(count)
    conv.weight[index, channels.start + index] = 1.0
    keep(norm, slice(0, count), x)


def write(
    bottleneck: Any,
    channels: slice,
    weight: torch.Tensor,
    x: torch.Tensor,
    bias: torch.Tensor | float = 0.0,
) -> None:
    """Let the last convolution add weight · x + bias to `channels`, and nothing to the others."""
    conv, norm = bottleneck.conv3, bottleneck.bn3
    other = torch.ones(conv.out_channels, dtype=torch.bool)
    other[channels] = False
    norm.weight[other] = 0
    conv.weight[channels] = weight[..., None, None]
    out = torch.einsum("oc,nchw->nohw", weight, x)
    keep(norm, channels, out)
    norm.bias[channels] += bias


def lift(norm: nn.BatchNorm2d) -> torch.Tensor:
    """What to add to the output of a norm layer so that it hardly ever falls below zero, (C,)."""
    return _LIFT * norm.weight.abs() - norm.bias.clamp(max=0)


def shortcut(bottleneck: Any, block: Any, x: torch.Tensor) -> torch.Tensor | float:
    """Let the side path of a stage's first bottleneck do what that of the small network does.

    Returns:
        By how much it was lifted above zero, (C,) or 0.
    """
    conv, norm = bottleneck.downsample[-2:]
    width = block.conv2.out_channels
    # Not weights of zero: the norm layer would blow up what little the first step makes of them.
    norm.weight[width : 3 * width] = 0
    conv.weight[:width] = 0
    if block.downsample is None:
        index = torch.arange(width)
        conv.weight[index, index] = 1.0
        keep(norm, slice(0, width), x)
        return 0.0
    old_conv, old_norm = block.downsample[-2:]
    conv.weight[:width, : x.shape[1]] = old_conv.weight
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(norm, name)[:width] = getattr(old_norm, name)
    norm.bias[:width] += lift(old_norm)
    return lift(old_norm)


def keep(norm: Any, channels: slice, x: torch.Tensor) -> None:
    """Let a norm layer hand on `channels`, whose values are `x`, unchanged: in training, too."""
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
    norm.running_mean[channels] = mean
    norm.running_var[channels] = variance
    norm.weight[channels] = (variance + norm.eps).sqrt()
    norm.bias[channels] = mean


def least_squares(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The weight (O, C) and bias (O,) that bring x (N, C, H, W) nearest to y (N, O, H, W)."""
    rows = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).double()
    target = y.permute(0, 2, 3, 1).reshape(-1, y.shape[1]).double()
    rows = torch.cat([rows, torch.ones(len(rows), 1, dtype=torch.float64)], 1)
    gram = rows.T @ rows
    gram += 1e-4 * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    found = torch.linalg.solve(gram, rows.T @ target).float()
    return found[:-1].T.contiguous(), found[-1]


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="the folder of a finished run of a resnet18")
    add_data_arguments(parser)
    parser.add_argument("--size", type=int, default=160, help="of the faces, in pixels")
    parser.add_argument("--out", type=Path, default=Path("runs/widened"))
    args = parser.parse_args(argv)

    small = build("resnet18")
    small.load_state_dict(safetensors.torch.load_file(args.run / "best.safetensors"))
    backbone = BACKBONES["resnet18"]
    records = [r for r in read_data(args) if r.split == "train"][::40][:256]
    detector = open_detector()
    faces = find_faces(records, detector, face_cache(detector))
    how = Preprocessing(args.size, 0.3, backbone.mean, backbone.std)
    found = [record for record in records if record.sha256 in faces]
    x = next(iter(loader(FaceSet(found, faces, how), len(found), 2))).x
    large = widen(small, x)
    with torch.no_grad():
        before, after = small(x).flatten(), large(x).flatten()
    print("correlation of the logits", torch.corrcoef(torch.stack([before, after]))[0, 1].item())
    args.out.mkdir(parents=True, exist_ok=True)
    state: Mapping[str, torch.Tensor] = large.state_dict()
    safetensors.torch.save_file(
        {k: v.contiguous() for k, v in state.items()}, args.out / "best.safetensors"
    )
    (args.out / "run.json").write_bytes((args.run / "run.json").read_bytes())


if __name__ == "__main__":
    main()
