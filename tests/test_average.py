"""The mean of runs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from fakeface.backbones import build
from fakeface.types import CheckpointMismatch
from tests.pools import TINY
from train import average


def run(folder: Path, seed: int, **changes: object) -> dict[str, torch.Tensor]:
    """A finished run, or what is read of it."""
    torch.manual_seed(seed)
    recipe = dataclasses.replace(TINY, **changes)  # type: ignore[arg-type]
    state = {
        k: torch.rand_like(v.float()).to(v.dtype) for k, v in build("resnet18").state_dict().items()
    }
    folder.mkdir()
    safetensors.torch.save_file(state, folder / "best.safetensors")
    about = {"command": f"train {seed}", "recipe": dataclasses.asdict(recipe), "after": None}
    (folder / "run.json").write_text(json.dumps(about))
    (folder / "log.csv").write_text(f"phase\n{seed}\n")
    return state


def test_the_mean_lies_between_and_says_where_it_came_from(tmp_path):
    first, second = run(tmp_path / "a", 1), run(tmp_path / "b", 2)
    out = tmp_path / "mean"
    average.main([str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(out)])
    found = safetensors.torch.load_file(out / "best.safetensors")
    weight, counter = "conv1.weight", "bn1.num_batches_tracked"
    assert torch.allclose(found[weight], (first[weight] + second[weight]) / 2)
    assert torch.equal(found[counter], second[counter])
    assert found.keys() == second.keys()
    about = json.loads((out / "run.json").read_text())
    assert about["command"].endswith(f"{tmp_path / 'a'} {tmp_path / 'b'} --out {out}")
    assert about["after"]["command"] == "train 2"
    assert (out / "log.csv").read_text() == "phase\n2\n"


def test_runs_of_two_kinds_are_refused(tmp_path, capsys):
    run(tmp_path / "a", 1)
    run(tmp_path / "b", 2, size=64)
    with pytest.raises(SystemExit):
        average.main([str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "mean")])
    assert "look at faces in different ways" in capsys.readouterr().err
    assert not (tmp_path / "mean").exists()


def test_other_networks_are_refused():
    with pytest.raises(CheckpointMismatch, match="different networks"):
        average.average([{"a": torch.ones(2)}, {"a": torch.ones(3)}])
