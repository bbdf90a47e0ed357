"""A small face generator, whose pictures are free to ship: `python -m train.generator --data ...`.

The examples on the page and the tests need AI-made faces that belong to nobody. This trains a
variational autoencoder (Kingma and Welling, ICLR 2014) on photographs of the train split, with a
patch discriminator (Isola et al., CVPR 2017) so that its faces are not merely soft, and writes
samples drawn from the prior. Its faces are crude, and flagging them says little about better
generators.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import l1_loss, relu
from tqdm import tqdm

from fakeface import images
from fakeface.faces import open_detector
from fakeface.preprocess import Preprocessing, face_tensor

from .data import find_faces
from .sources import read_manifest

SIDE, LATENT = 128, 128
WIDTHS = (32, 48, 96, 128, 160)  # channels at 128, 64, 32, 16 and 8 pixels
HOW = Preprocessing(SIDE, 0.6, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SHARP = ("ffhq_140k", "ffhq_1024", "mebeauty", "ciplab", "celebahq_faceshq", "us_congress")


def block(before: int, after: int, stride: int = 1) -> nn.Sequential:
    """A convolution, norm and activation."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1), nn.GroupNorm(8, after), nn.SiLU(inplace=True)
    )


class Autoencoder(nn.Module):
    """Faces (N, 3, 128, 128) in [-1, 1] <-> latent vectors (N, 128)."""

    def __init__(self) -> None:
        super().__init__()
        down = [block(3, WIDTHS[0])]
        down += [block(a, b, 2) for a, b in itertools.pairwise(WIDTHS)]
        flat = WIDTHS[-1] * (SIDE // 16) ** 2
        self.encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(flat, 2 * LATENT))
        self.start = nn.Linear(LATENT, flat)
        up: list[nn.Module] = [block(WIDTHS[-1], WIDTHS[-1])]
        for b, a in zip(WIDTHS[::-1], WIDTHS[-2::-1]):
            up += [nn.Upsample(scale_factor=2), block(b, a)]
        self.decoder = nn.Sequential(*up, nn.Conv2d(WIDTHS[0], 3, 3, 1, 1), nn.Tanh())

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Latent vectors -> faces."""
        small = self.start(latent).unflatten(1, (WIDTHS[-1], SIDE // 16, SIDE // 16))
        out: torch.Tensor = self.decoder(small)
        return out

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Reconstructions, and the divergence of the latent from the prior."""
        mean, log_variance = self.encoder(x).float().chunk(2, 1)
        log_variance = log_variance.clamp(-8, 8)
        latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return self.decode(latent), divergence


def critic() -> nn.Sequential:
    """Says of each patch whether it is of a photograph (above 0)."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, 4, 2, 1), nn.GroupNorm(8, 64), nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, 2, 1), nn.GroupNorm(8, 128), nn.LeakyReLU(0.2),
        nn.Conv2d(128, 1, 3, 1, 1),
    )  # fmt: skip


def train(faces: torch.Tensor, minutes: float, batch: int = 48) -> Autoencoder:
    """Train for so many minutes; the critic joins after a third of them."""
    model, judge = Autoencoder(), critic()
    model.to(memory_format=torch.channels_last)
    judge.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), 6e-4, betas=(0.5, 0.99))
    against = torch.optim.AdamW(judge.parameters(), 2e-4, betas=(0.5, 0.99))
    start = time.monotonic()
    with tqdm(total=round(60 * minutes), unit="s", desc="generator") as bar:
        while (spent := time.monotonic() - start) < 60 * minutes:
            x = faces[torch.randint(len(faces), (batch,))]
            x = torch.where(torch.rand(batch, 1, 1, 1) < 0.5, x, x.flip(3))
            x = x.contiguous(memory_format=torch.channels_last)
            adversarial = spent > 20 * minutes
            with torch.autocast("cpu", torch.bfloat16):
                made, divergence = model(x)
                drawn = model.decode(torch.randn(batch // 2, LATENT))
                verdict = judge(torch.cat([made, drawn])) if adversarial else torch.zeros(1)
            loss = l1_loss(made.float(), x) + 2e-4 * divergence - 0.03 * verdict.float().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if adversarial:
                with torch.autocast("cpu", torch.bfloat16):
                    real = judge(x).float()
                    fake = judge(torch.cat([made, drawn]).detach()).float()
                against.zero_grad()
                (relu(1 - real).mean() + relu(1 + fake).mean()).backward()
                against.step()
            bar.set_postfix(loss=f"{loss.item():.3f}", divergence=f"{divergence.item():.0f}")
            bar.update(round(time.monotonic() - start) - bar.n)
    return model.eval()


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a CSV manifest")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the samples")
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)

    torch.manual_seed(args.seed)
    records = [r for r in read_manifest(args.data) if r.split == "train" and r.source in SHARP]
    records = [r for r in records if r.label == 0]
    detector = open_detector()
    found = find_faces(records, detector, Path("runs") / f"faces-{detector.name}.json")
    faces = torch.stack(
        [
            face_tensor(images.decode(r.read()), found[r.sha256], HOW)
            for r in tqdm(records, desc="photographs")
            if r.sha256 in found
        ]
    )
    model = train(faces, args.minutes)
    torch.save(model.state_dict(), Path("runs") / "generator.pt")
    args.out.mkdir(parents=True, exist_ok=True)
    with torch.inference_mode():
        # A little nearer to the mean face than the prior is, where a small decoder does best.
        made = model.decode(0.8 * torch.randn(args.count, LATENT)).float()
    for i, face in enumerate(made):
        pixels = ((face.permute(1, 2, 0).numpy() + 1) * 127.5).round().clip(0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(args.out / f"made_{i:02}.png")


if __name__ == "__main__":
    main()
