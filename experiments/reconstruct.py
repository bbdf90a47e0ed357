"""Reconstructed photographs, to learn decoders' traces from: `python -m experiments.reconstruct`.

A photograph that went through an autoencoder shows what it showed before, in the same frame and
under the same compression; it differs by the traces of the decoder alone, so that nothing else
about it can be learnt as a sign of a fake (Rajan et al., "Aligned Datasets Improve Detection of
Latent Diffusion-Generated Images", ICLR 2025). The autoencoder here is small and trained on the
photographs of train themselves. Generators upsample in different ways, and so do its decoders.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, JpegImagePlugin
from torch import nn
from torch.nn import functional

from fakeface.images import decoder as images
from fakeface.progress import progress
from fakeface.types import RGB
from train.datasets.manifest import write_manifest
from train.datasets.sources import Record, add_data_arguments, read_data
from train.training.memory import keep_freed

WIDTHS = (16, 32, 64, 96)  # channels at the full size, a half, a quarter and an eighth of it
LATENT = 12  # channels of the code, an eighth as wide and high as the picture
UPSAMPLING = ("nearest", "transposed", "shuffled")
PATCH, BATCH, RATE = 64, 8, 2e-3
FAMILY = "reconstructed"
_JPEG = b"\xff\xd8"  # how such a file begins


class Block(nn.Module):
    """A residual block of two convolutions; (N, C, H, W) -> the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)  # each block begins as the identity

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.second(functional.silu(self.first(functional.silu(x))))
        return out


def encoder() -> nn.Sequential:
    """(N, 3, H, W) in [-1, 1] -> (N, LATENT, H / 8, W / 8)."""
    layers: list[nn.Module] = [nn.Conv2d(3, WIDTHS[0], 3, padding=1)]
    for narrow, wide in itertools.pairwise(WIDTHS):
        layers += [nn.SiLU(), nn.Conv2d(narrow, wide, 3, stride=2, padding=1), Block(wide)]
    return nn.Sequential(*layers, nn.SiLU(), nn.Conv2d(WIDTHS[-1], LATENT, 1))


def decoder(upsampling: str) -> nn.Sequential:
    """(N, LATENT, H, W) -> (N, 3, 8 H, 8 W).

    Args:
        upsampling: nearest neighbours and a convolution, as in latent diffusion; a transposed
            convolution, as in older GANs; or four times the channels, shuffled into place.
    """
    layers: list[nn.Module] = [nn.Conv2d(LATENT, WIDTHS[-1], 3, padding=1)]
    for wide, narrow in itertools.pairwise(WIDTHS[::-1]):
        layers += [Block(wide), nn.SiLU(), *doubling(upsampling, wide, narrow)]
    return nn.Sequential(*layers, nn.SiLU(), nn.Conv2d(WIDTHS[0], 3, 3, padding=1))


def doubling(upsampling: str, wide: int, narrow: int) -> list[nn.Module]:
    """Layers from `wide` channels to `narrow` ones, twice as high and wide."""
    if upsampling == "nearest":
        return [nn.Upsample(scale_factor=2), nn.Conv2d(wide, narrow, 3, padding=1)]
    if upsampling == "transposed":
        return [nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1)]
    return [nn.Conv2d(wide, 4 * narrow, 3, padding=1), nn.PixelShuffle(2)]


class Autoencoder(nn.Module):
    """One encoder and a decoder for each kind of UPSAMPLING."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = encoder()
        self.decoders = nn.ModuleDict({kind: decoder(kind) for kind in UPSAMPLING})
        for module in self.modules():
            # The usual start values shrink what passes, and nothing normalises it here.
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.weight.any():
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, x: torch.Tensor, upsampling: str) -> torch.Tensor:
        """(N, 3, H, W) in [-1, 1], sides multiples of 8 -> its reconstruction."""
        out: torch.Tensor = self.decoders[upsampling](self.encode(x))
        return out


def distance(made: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference, of the pictures and of what is fine in them.

    Without the second part a short training leaves everything soft, and softness is no trace.
    """
    fine = [x - functional.avg_pool2d(x, 3, stride=1, padding=1) for x in (made, true)]
    return functional.l1_loss(made, true) + 2 * functional.l1_loss(*fine)


def fit(pictures: Sequence[RGB], steps: int, seed: int) -> Autoencoder:
    """An autoencoder trained on random patches, a decoder a step in turn.

    Args:
        pictures: at least PATCH pixels high and wide.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = Autoencoder().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.05)
    losses: list[float] = []
    with progress(range(steps), desc="autoencoder") as bar:
        for step in bar:
            drawn = rng.integers(len(pictures), size=BATCH)
            x = torch.stack([_patch(pictures[i], rng) for i in drawn])
            x = x.contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad(set_to_none=True)
            loss = distance(network(x, UPSAMPLING[step % len(UPSAMPLING)]), x)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            bar.set_postfix(loss=f"{np.mean(losses[-300:]):.4f}", refresh=False)
    return network.eval()


def _patch(picture: RGB, rng: np.random.Generator) -> torch.Tensor:
    top, left = (int(rng.integers(side - PATCH + 1)) for side in picture.shape[:2])
    patch = picture[top : top + PATCH, left : left + PATCH]
    if rng.random() < 0.5:
        patch = patch[:, ::-1]
    return _tensor(patch)


def _tensor(picture: RGB) -> torch.Tensor:
    """uint8 (H, W, 3) -> float (3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1) / 127.5 - 1


@torch.no_grad()
def reconstruct(network: Autoencoder, picture: RGB, upsampling: str) -> RGB:
    """A picture as the autoencoder gives it back.

    Args:
        picture: uint8 (H, W, 3).

    Returns:
        uint8 (H, W, 3).
    """
    height, width = picture.shape[:2]
    pad = (0, math.ceil(width / 8) * 8 - width, 0, math.ceil(height / 8) * 8 - height)
    x = functional.pad(_tensor(picture)[None], pad, mode="reflect")
    made = network(x, upsampling)[0, :, :height, :width]
    return ((made + 1) * 127.5).round().clamp(0, 255).permute(1, 2, 0).byte().numpy()  # type: ignore[no-any-return]


def encode_like(picture: RGB, original: bytes) -> bytes:
    """A picture as a file that is compressed as `original` is: JPEG with its tables, or PNG."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(original)) as like:
        if like.format == "JPEG":
            # 0, 1 and 2 are what the encoder knows; anything rarer becomes the commonest.
            sampling = JpegImagePlugin.get_sampling(like)
            tables = like.quantization  # type: ignore[attr-defined]
            Image.fromarray(picture).save(
                out, "JPEG", qtables=tables, subsampling=sampling if sampling >= 0 else 2
            )
        else:
            Image.fromarray(picture).save(out, "PNG")
    return out.getvalue()


def write(
    network: Autoencoder,
    photographs: Sequence[tuple[Record, RGB]],
    folder: Path,
    rng: np.random.Generator,
) -> list[dict[str, str]]:
    """Write a reconstruction of each photograph; returns the rows of their manifest."""
    rows = []
    for record, picture in progress(photographs, desc="reconstructions"):
        kind = str(rng.choice(UPSAMPLING))
        data = encode_like(reconstruct(network, picture, kind), record.read())
        sha256 = hashlib.sha256(data).hexdigest()
        path = folder / f"{sha256[:16]}.{'jpg' if data[:2] == _JPEG else 'png'}"
        path.write_bytes(data)
        rows.append(
            {
                "file": path.name,
                "label": "fake",
                "split": record.split,
                "kind": "generated",
                "family": FAMILY,
                "source": FAMILY,
                "generator": kind,
                "group": record.group,  # on the side of the split where its photograph is
                "sha256": sha256,
            }
        )
    return rows


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_data_arguments(parser)
    parser.add_argument("--out", type=Path, default=Path("runs/reconstructed"))
    parser.add_argument("--steps", type=int, default=5000, help="of training, 8 patches each")
    parser.add_argument("--count", type=int, default=2000, help="photographs to reconstruct")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)

    keep_freed()
    records = [r for r in read_data(args) if r.split == "train" and r.label == 0]
    rng = np.random.default_rng(args.seed)
    drawn = [records[i] for i in rng.permutation(len(records))[: args.count]]
    decoded = [(r, images.decode(r.read())) for r in progress(drawn, desc="photographs")]
    large = [(r, picture) for r, picture in decoded if min(picture.shape[:2]) >= PATCH]
    if not large:
        raise SystemExit(
            f"error: No photograph of train is {PATCH} pixels high and wide; give larger ones."
        )
    network = fit([picture for _, picture in large], args.steps, args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    rows = write(network, large, args.out, rng)
    write_manifest(args.out / "manifest.csv", rows)


if __name__ == "__main__":
    main()
