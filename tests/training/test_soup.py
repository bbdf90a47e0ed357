"""The mean of runs."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from fakeface.models import checkpoints
from fakeface.models.backbones import build
from fakeface.types import CheckpointMismatch
from tests.conftest import card, random_network
from tests.pools import TINY, Whole, tiny_pool
from train.training import soup as average


@pytest.fixture
def pool(tmp_path, monkeypatch) -> Path:
    """A pool of forty pictures, in the folder we work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(average, "open_detector", lambda name: Whole())
    return tiny_pool(tmp_path)


def run(folder: Path, seed: int, **changes: object) -> dict[str, torch.Tensor]:
    """A finished run, or what is read of it."""
    torch.manual_seed(seed)
    recipe = dataclasses.replace(TINY, **changes)  # type: ignore[arg-type]
    state = build(recipe.backbone).state_dict()
    state["classifier.weight"] = torch.randn(1, 1280)
    state["bn1.num_batches_tracked"] += seed
    folder.mkdir()
    safetensors.torch.save_file(state, folder / "best.safetensors")
    about = {"command": f"train {seed}", "recipe": dataclasses.asdict(recipe), "after": None}
    (folder / "run.json").write_text(json.dumps(about))
    columns = "phase,epoch,loss,val_auc,val_auc_without_swaps,lr,seconds"
    (folder / "log.csv").write_text(f"{columns}\nall layers,{seed},1,0.5,0.5,1,1\n")
    return state


def test_the_mean_lies_between_and_says_where_it_came_from(pool, tmp_path):
    first, second = run(tmp_path / "a", 1), run(tmp_path / "b", 2)
    out = tmp_path / "mean"
    average.main([str(tmp_path / "a"), str(tmp_path / "b"), "--data", str(pool), "--out", str(out)])
    found = safetensors.torch.load_file(out / "best.safetensors")
    weight, counter = "conv_stem.weight", "bn1.num_batches_tracked"
    assert torch.allclose(found[weight], (first[weight] + second[weight]) / 2)
    assert torch.equal(found[counter], second[counter])
    assert found.keys() == second.keys()
    about = json.loads((out / "run.json").read_text())
    data = f"{tmp_path.name}/manifest.csv"
    assert about["command"].endswith(f"a {tmp_path / 'b'} --data {data} --out {out}")
    assert about["after"]["command"] == "train 2"
    last, mean = csv.DictReader((out / "log.csv").read_text().splitlines())
    assert last["epoch"] == "2" and mean["phase"] == "mean of the weights"
    assert 0 <= float(mean["val_auc"]) <= 1 and mean["val_auc"] != "0.5"


def test_a_shipped_model_may_stand_for_a_run(pool, tmp_path):
    network = random_network("mobilenetv2_100")
    training = {"recipe": {"backbone": "mobilenetv2_100", "margin": 0.3}}
    model = dataclasses.replace(card("light", size=32), training=training)
    checkpoints.save(tmp_path / "light", network, model)
    second, out = run(tmp_path / "b", 2), tmp_path / "mean"
    folders = [str(tmp_path / name) for name in ("light", "b")]
    average.main([*folders, "--data", str(pool), "--out", str(out)])
    weight = "conv_stem.weight"
    found = safetensors.torch.load_file(out / "best.safetensors")[weight]
    wanted = (network.state_dict()[weight].half().float() + second[weight]) / 2
    assert torch.allclose(found, wanted)


def test_runs_of_two_kinds_are_refused(pool, tmp_path, capsys):
    run(tmp_path / "a", 1)
    run(tmp_path / "b", 2, margin=0.5)
    with pytest.raises(SystemExit):
        average.main(["a", "b", "--data", str(pool), "--out", "mean"])
    assert "look at faces in different ways" in capsys.readouterr().err
    assert not (tmp_path / "mean").exists()


def test_other_networks_are_refused():
    with pytest.raises(CheckpointMismatch, match="different networks"):
        average.mix_weights([{"a": torch.ones(2)}, {"a": torch.ones(3)}])
