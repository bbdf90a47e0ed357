"""From a finished run to a model folder: what is calibrated is what is shipped."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from fakeface.models import checkpoints
from fakeface.types import Box
from tests.conftest import random_network
from tests.pools import Whole
from train import export
from train.datasets.sources import read_manifest
from train.evaluation.metrics import expected_calibration_error, fit_temperature
from train.evaluation.scores import predict
from train.training.recipes import Phase, Recipe

TINY = Recipe(backbone="mobilenetv2_100", size=32, phases=(Phase("last stage", 1, 1, 1e-3),))


def test_the_head_moves_by_what_half_precision_can_hold():
    network = random_network("mobilenetv2_100")
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = network(x)
        moved = export.shift(network, "mobilenetv2_100", -0.7654321)
        after = network(x)
    assert moved == pytest.approx(-0.7654321, abs=1e-3)
    assert torch.allclose(after - before, torch.full_like(before, moved), atol=1e-5)
    bias = network.classifier.bias.detach()
    assert torch.equal(bias, bias.half().float())


@pytest.mark.slow
def test_the_shipped_model_is_calibrated_as_its_card_says(tmp_path, monkeypatch):
    """A third of val are fakes; a temperature alone would leave p(fake) too high."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAKEFACE_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setattr(export, "load_recipe", lambda name: TINY)
    monkeypatch.setattr(export, "open_detector", lambda name: Whole())
    rng = np.random.default_rng(0)
    rows = []
    for i in range(90):
        label = int(i % 3 == 0)
        picture = rng.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
        digest = hashlib.sha256((tmp_path / f"{i}.png").read_bytes()).hexdigest()
        rows.append(
            {"file": f"{i}.png", "label": ("real", "fake")[label], "split": "val", "source": "s",
             "kind": ("photo", "generated")[label], "family": "f", "group": str(i),
             "sha256": digest}
        )  # fmt: skip
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    folder = tmp_path / "runs" / "tiny"
    folder.mkdir(parents=True)
    safetensors.torch.save_file(
        random_network("mobilenetv2_100").state_dict(), folder / "best.safetensors"
    )
    (folder / "log.csv").write_text("phase\n")
    about = {"pictures": 2, "photographs": 1, "sources_of_photographs": 1, "data": "0",
             "families_of_fakes": ["gan"], "command": "c"}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(about))
    export.main(["tiny", "--data", str(tmp_path / "manifest.csv"), "--name", "tiny"])

    model = checkpoints.load("tiny", device="cpu")
    records = read_manifest(tmp_path / "manifest.csv")
    faces = {r.sha256: Box(0, 0, 32, 32) for r in records}
    _, logits = predict(model, records, faces)
    labels = np.array([r.label for r in records])
    assert fit_temperature(labels, logits) == pytest.approx(model.calibration.temperature, rel=0.02)
    p_fake = np.array([model.score(float(z)).p_fake for z in logits])
    assert p_fake.mean() == pytest.approx(1 / 3, abs=0.01)  # as many as there are
    assert expected_calibration_error(labels, p_fake, bins=3) < 0.1
    assert (p_fake[labels == 0] >= model.calibration.fake_above).mean() <= 0.02
    assert Path("checkpoints/tiny/training.csv").exists()
