"""From a finished run to a model folder: what is calibrated is what is shipped."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from fakeface.models import checkpoints
from fakeface.models.calibrate import Calibration
from fakeface.models.card import Shortcuts
from fakeface.types import Box
from tests.conftest import random_network
from tests.pools import Whole, row, write_manifest
from train import export, recalibrate
from train.datasets.records import SourceError
from train.datasets.sources import read_manifest
from train.datasets.splits import calibration
from train.evaluation import out_of_distribution
from train.evaluation.calibration import fit_platt
from train.evaluation.inference import predict
from train.evaluation.metrics import expected_calibration_error
from train.training.recipes import Phase, Recipe

TINY = Recipe(backbone="mobilenetv2_100", size=32, phases=(Phase("last stage", 1, 1, 1e-3),))


@pytest.fixture
def finished(tmp_path, monkeypatch) -> list[str]:
    """A finished run on pictures of noise, a third of them fakes; returns what exports it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAKEFACE_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setattr(export, "load_recipe", lambda name: TINY)
    monkeypatch.setattr(export, "open_detector", lambda name: Whole())
    rng = np.random.default_rng(0)
    rows = []
    for i in range(180):
        label = int(i % 3 == 0)
        picture = rng.integers(0, 256, (48, 48, 3), np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
        digest = hashlib.sha256((tmp_path / f"{i}.png").read_bytes()).hexdigest()
        kind = ("photo", "generated")[label]
        rows.append(row(file=f"{i}.png", label=("real", "fake")[label], split="val", kind=kind,
                        group=str(i), sha256=digest))  # fmt: skip
    manifest = write_manifest(tmp_path, rows)
    folder = tmp_path / "runs" / "tiny"
    folder.mkdir(parents=True)
    state = random_network("mobilenetv2_100").state_dict()
    safetensors.torch.save_file(state, folder / "best.safetensors")
    (folder / "log.csv").write_text("phase\n")
    about = {"pictures": 2, "photographs": 1, "sources_of_photographs": 1, "data": "0",
             "families_of_fakes": ["gan"], "command": "c"}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(about))
    return ["tiny", "--data", str(manifest), "--name", "tiny"]


@pytest.mark.slow
def test_the_shipped_model_is_calibrated_as_its_card_says(finished, tmp_path):
    """A third of val are fakes; a temperature alone would leave p(fake) too high."""
    export.main(finished)

    model = checkpoints.load("tiny", device="cpu")
    records = calibration(read_manifest(tmp_path / "manifest.csv"))
    faces = {r.sha256: Box(0, 0, 48, 48) for r in records}
    _, logits = predict(model, records, faces)
    labels = np.array([r.label for r in records])
    found = fit_platt(labels, logits)
    assert found == pytest.approx(
        (model.calibration.temperature, model.calibration.offset), rel=0.02, abs=0.02
    )
    p_fake = np.array([model.score(float(z)).p_fake for z in logits])
    assert p_fake.mean() == pytest.approx(labels.mean(), abs=0.01)  # as many as there are
    assert expected_calibration_error(labels, p_fake, bins=3) < 0.1
    assert (p_fake[labels == 0] >= model.calibration.fake_above).mean() <= 0.02
    assert Path("checkpoints/tiny/training.csv").exists()

    # Only the calibration part was looked at, and the card says so.
    card = checkpoints.read_card(Path("checkpoints/tiny"))
    limits = card.training["calibration"]
    assert limits["part"] == "calibration"
    assert limits["n_real"] + limits["n_fake"] == len(records) < 180
    assert limits["false_positive_rate"]["n"] == (labels == 0).sum()


@pytest.mark.slow
def test_the_weights_are_shipped_as_they_were_trained(finished):
    """An offset baked into the head would make the model look calibrated before calibration."""
    export.main(finished)
    shipped = safetensors.torch.load_file("checkpoints/tiny/model.safetensors")
    trained = safetensors.torch.load_file("runs/tiny/best.safetensors")
    for name, tensor in shipped.items():
        assert torch.equal(tensor, trained[name].half())
    assert checkpoints.read_card(Path("checkpoints/tiny")).calibration.offset != 0


def test_a_shipped_model_is_calibrated_anew_with_its_weights_as_they_were(finished, monkeypatch):
    export.main(finished)
    folder = Path("checkpoints/tiny")
    weights = (folder / "model.safetensors").read_bytes()
    wanted = checkpoints.read_card(folder)
    other = dataclasses.replace(
        wanted,
        calibration=Calibration(3.0, 0.1, 0.95, 1.0),
        shortcuts=Shortcuts(bf16=True, moves={"a copy": (1.0, 2.0)}),
    )
    checkpoints.write_card(folder, other)
    monkeypatch.setattr(recalibrate, "open_detector", lambda name: Whole())
    recalibrate.main(["tiny", "--data", finished[finished.index("--data") + 1]])
    found = checkpoints.read_card(folder)
    assert found.calibration == wanted.calibration
    assert found.training["calibration"]["command"].startswith("python -m train recalibrate tiny")
    assert (folder / "model.safetensors").read_bytes() == weights
    # A logit that moves by 3 moves by 1 at a temperature of 3, and by more at a lower one.
    down, up = found.shortcuts.moves["a copy"]
    assert not found.shortcuts.bf16
    assert down == pytest.approx(3.0 / wanted.calibration.temperature, abs=0.1)
    assert up == pytest.approx(6.0 / wanted.calibration.temperature, abs=0.1)


def kill_writes(monkeypatch, allowed: int) -> None:
    """Let a process make so many changes to files, and end it at the next."""
    left = iter(range(allowed))

    def guard(change):
        def changed(*args, **kwargs):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return change(*args, **kwargs)

        return changed

    for name in ("replace", "unlink"):
        monkeypatch.setattr(Path, name, guard(getattr(Path, name)))
    monkeypatch.setattr(os, "fsync", guard(os.fsync))


@pytest.mark.slow
def test_an_export_that_is_killed_leaves_a_model_that_works(finished, tmp_path, monkeypatch):
    export.main(finished)
    folder = tmp_path / "checkpoints" / "tiny"
    before = checkpoints.read_card(folder)
    shutil.copytree(folder, tmp_path / "first")
    weights = tmp_path / "runs" / "tiny" / "best.safetensors"
    state = safetensors.torch.load_file(weights)
    state["classifier.bias"] += 1
    safetensors.torch.save_file(state, weights)

    seen = set()
    for allowed in range(40):
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "first", folder)
        with monkeypatch.context() as patch:
            kill_writes(patch, allowed)
            with suppress(KeyboardInterrupt):
                export.main(finished)
                seen.add("finished")
        assert [card.name for card in checkpoints.installed()] == ["tiny"]
        model = checkpoints.load("tiny", device="cpu")
        seen.add("old" if model.sha256 == before.sha256 else "new")
        assert model.calibration == checkpoints.read_card(folder).calibration
        assert model.calibration.temperature != 1 and model.calibration.fake_above < 1
        if "finished" in seen:
            break
    assert seen == {"old", "new", "finished"} and allowed > 5


@pytest.mark.slow
def test_a_calibration_part_of_one_class_is_refused(finished, tmp_path):
    lines = (tmp_path / "manifest.csv").read_text().splitlines(keepends=True)
    (tmp_path / "manifest.csv").write_text("".join(x for x in lines if ",fake," not in x))
    with pytest.raises(SourceError, match="calibration has no fakes"):
        export.main(finished)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.slow
def test_the_old_reference_stays_until_the_new_one_is_there(finished, tmp_path, monkeypatch):
    export.main(finished)
    monkeypatch.setattr(out_of_distribution, "open_detector", lambda name: Whole())
    rows = (tmp_path / "manifest.csv").read_text()
    manifest = tmp_path / "both.csv"
    manifest.write_text(rows.replace(",val,", ",train,", 60))
    command = ["tiny", "--data", str(manifest)]
    out_of_distribution.main(command)
    path = tmp_path / "checkpoints" / "tiny" / checkpoints.REFERENCE
    first = path.read_bytes()
    monkeypatch.setattr(out_of_distribution, "fit", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        out_of_distribution.main(command)
    assert path.read_bytes() == first
