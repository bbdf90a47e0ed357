"""Heatmaps against masks: maps whose answer is known, and a network whose eye is known."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import skimage.data
import torch
from PIL import Image

from fakeface.models import checkpoints
from fakeface.types import Box
from tests.conftest import random_network
from train.datasets.records import Record
from train.evaluation import pointing
from train.evaluation.pointing import centre_blob, hit, overlap
from train.evaluation.store import read_json, write_json


def corner() -> np.ndarray:
    """A region of 4 x 4 in the upper left of 10 x 10."""
    region = np.zeros((10, 10), bool)
    region[:4, :4] = True
    return region


def test_the_hottest_place_decides():
    heat = np.zeros((10, 10), np.float32)
    heat[2, 3] = 1
    assert hit(heat, corner())
    heat[8, 8] = 2
    assert not hit(heat, corner())
    assert not hit(np.zeros((10, 10), np.float32), corner())  # argmax alone would say its corner


def test_overlap_of_known_maps():
    region = corner()
    assert overlap(region.astype(np.float32), region) == 1.0
    assert overlap(1 - region.astype(np.float32), region) == 0.0
    shifted = np.zeros((10, 10), np.float32)
    shifted[:4, 2:6] = 1  # shares half of it: 8 of 24
    assert overlap(shifted, region) == pytest.approx(8 / 24)


def test_a_random_map_hits_as_often_as_the_region_is_large():
    rng = np.random.default_rng(0)
    hits = [hit(rng.random((10, 10), np.float32), corner()) for _ in range(4000)]
    assert np.mean(hits) == pytest.approx(0.16, abs=0.02)


def test_the_blob_is_in_the_middle():
    blob = centre_blob(9)
    assert blob.shape == (9, 9)
    assert np.unravel_index(blob.argmax(), blob.shape) == (4, 4)
    assert blob[4, 4] > blob[4, 0] > blob[0, 0] > 0


@pytest.fixture
def photograph(tmp_path) -> tuple[list[Record], dict[str, Box]]:
    """Eileen Collins, in the public domain, a few times over in other sizes."""
    records, faces = [], {}
    for i, side in enumerate((512, 400, 300)):
        path = tmp_path / f"{i}.png"
        Image.fromarray(skimage.data.astronaut()).resize((side, side)).save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        records.append(Record(path, 0, "test", "photo", "s", "f", str(i), digest))
        at = np.array([175, 65, 100, 125]) * side / 512
        faces[digest] = Box(*(int(v) for v in at))
    return records, faces


def test_the_mask_lies_where_the_picture_changed(untrained, photograph):
    records, faces = photograph
    model = checkpoints.load("untrained", device="cpu")
    ((clean, blended, regions),) = pointing.pairs(model, records, faces, 0)
    changed = (clean - blended).abs().mean(1).numpy()
    for change, region in zip(changed, regions):
        assert 0.02 < region.mean() < 0.9
        assert change[region].mean() > 5 * change[~region].mean()


@pytest.mark.slow
def test_a_map_of_the_change_points_at_it(untrained, photograph, monkeypatch):
    records, faces = photograph
    model = checkpoints.load("untrained", device="cpu")
    ((_, blended, regions),) = pointing.pairs(model, records, faces, 0)

    def cam(_, batch, __):
        changed = np.stack(regions).astype(np.float32)
        return changed if torch.equal(batch, blended) else 1 - changed

    monkeypatch.setattr(pointing, "grad_cam", cam)
    found = pointing.measure(model, records, faces)
    assert found["n"] == 3
    assert found["pointing"]["model"] == found["iou"]["model"] == 1.0
    assert found["pointing"]["untouched"] == found["iou"]["untouched"] == 0.0
    assert found["iou"]["random"] < 0.6 and found["iou"]["centre"] < 1.0
    assert 0 <= found["auc"]["value"] <= 1


@pytest.mark.slow
def test_the_command_writes_what_it_found(untrained, photograph, monkeypatch, tmp_path):
    records, faces = photograph
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pointing, "read_data", lambda args: records)
    monkeypatch.setattr(pointing, "find_faces", lambda *_: faces)
    pointing.main(["untrained", "--data", "x", "--count", "2", "--detector", "haar"])
    found = read_json(untrained / "untrained" / "pointing.json")
    assert found["n"] == 2 and set(found["pointing"]) == {"model", "untouched", "random", "centre"}
    assert Path(tmp_path / "runs").exists() is False


@pytest.mark.slow
def test_a_run_that_is_not_exported_is_measured_and_nothing_written(
    photograph, monkeypatch, tmp_path, capsys
):
    records, faces = photograph
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pointing, "read_data", lambda args: records)
    monkeypatch.setattr(pointing, "find_faces", lambda *_: faces)
    recipe = {"backbone": "mobilenetv2_100", "size": 64, "margin": 0.3}
    write_json(tmp_path / "run" / "run.json", {"recipe": recipe})
    state = random_network("mobilenetv2_100").state_dict()
    safetensors.torch.save_file(state, tmp_path / "run" / "best.safetensors")
    pointing.main(["--run", "run", "--data", "x", "--count", "3", "--detector", "haar"])
    assert "'n': 3" in capsys.readouterr().out
    assert not list(tmp_path.rglob("pointing.json"))
    with pytest.raises(SystemExit):
        pointing.main(["--data", "x"])
