"""Reconstructed photographs: what a decoder leaves, and nothing else that tells them apart."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from experiments import reconstruct
from experiments.reconstruct import UPSAMPLING, Autoencoder, encode_like, fit
from fakeface.images import decoder as images
from tests.pools import row, tiny_pool, write_manifest
from train.datasets.records import check_groups
from train.datasets.sources import read_manifest


def jpeg(picture: np.ndarray, **how) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", **how)
    return out.getvalue()


@pytest.mark.parametrize("upsampling", UPSAMPLING)
def test_a_reconstruction_is_as_large_as_its_photograph(upsampling):
    network = Autoencoder().eval()
    picture = np.random.default_rng(0).integers(0, 256, (45, 70, 3), np.uint8)
    made = reconstruct.reconstruct(network, picture, upsampling)
    assert made.shape == picture.shape and made.dtype == np.uint8


@pytest.mark.parametrize("how", [{"quality": 40}, {"quality": 92, "subsampling": 0}])
def test_a_reconstruction_is_compressed_as_its_photograph(how):
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    before = jpeg(picture, **how)
    with (
        Image.open(io.BytesIO(before)) as a,
        Image.open(io.BytesIO(encode_like(picture, before))) as b,
    ):
        assert (b.format, b.quantization) == (a.format, a.quantization)
        assert [layer[1:3] for layer in b.layer] == [layer[1:3] for layer in a.layer]


def test_what_is_no_jpeg_loses_nothing():
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    original = io.BytesIO()
    Image.fromarray(picture).save(original, "WEBP")
    assert np.array_equal(images.decode(encode_like(picture, original.getvalue())), picture)


@pytest.mark.slow
def test_the_autoencoder_learns():
    """A few steps, with each of the decoders, come nearer than the grey picture they begin with."""
    y, x = np.mgrid[0:96, 0:96]
    pictures = [
        np.stack([x * 2, y * 2, np.full_like(x, 40 * i)], -1).astype(np.uint8) for i in range(4)
    ]
    network, again = fit(pictures, 60, seed=0), fit(pictures, 60, seed=0)
    grey = np.abs(pictures[2] - 127.5).mean()
    for kind in UPSAMPLING:
        made = reconstruct.reconstruct(network, pictures[2], kind)
        assert np.abs(made.astype(float) - pictures[2]).mean() < 0.8 * grey
    for a, b in zip(network.parameters(), again.parameters()):
        assert torch.equal(a, b)


@pytest.fixture
def pool(tmp_path) -> Path:
    """Six photographs and two fakes; every second one is for training."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(8):
        data = jpeg(rng.integers(0, 256, (72, 80, 3), np.uint8))
        (tmp_path / f"{i}.jpg").write_bytes(data)
        split = ("train", "val")[i % 2]
        which = {"label": "fake"} if i > 5 else {"label": "real", "kind": "photo"}
        digest = hashlib.sha256(data).hexdigest()
        rows.append(row(file=f"{i}.jpg", split=split, group=f"g{i}", sha256=digest, **which))
    return write_manifest(tmp_path, rows)


@pytest.mark.slow
def test_the_manifest_is_for_training(pool, tmp_path):
    out = tmp_path / "made"
    reconstruct.main(["--data", str(pool), "--out", str(out), "--steps", "3", "--count", "2"])
    made = read_manifest(out / "manifest.csv")
    assert {(r.label, r.split, r.kind, r.family) for r in made} == {
        (1, "train", "generated", "reconstructed")
    }
    assert len({r.group for r in made}) == len({r.sha256 for r in made}) == 2
    assert {r.group for r in made} < {"g0", "g2", "g4"}
    assert {r.generator for r in made} <= set(UPSAMPLING)
    check_groups([*read_manifest(pool), *made])
    for record in made:
        assert images.decode(record.read()).shape == (72, 80, 3)


def test_photographs_smaller_than_a_patch_are_too_small(tmp_path):
    with pytest.raises(SystemExit, match="No photograph of train is 64 pixels high and wide"):
        reconstruct.main(["--data", str(tiny_pool(tmp_path)), "--out", str(tmp_path / "made")])
    assert not (tmp_path / "made").exists()
