"""A shipped model in other formats: what each computes is what PyTorch computes, on real faces."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import train.__main__
from fakeface.models import checkpoints
from fakeface.models.card import INT8
from train import convert
from train.formats import formats, to_onnx
from train.formats.formats import FORMATS, write_checked
from train.formats.network import ConversionError, describe, take

pytestmark = pytest.mark.slow

LIGHT = "mobilenetv2_100"


@pytest.fixture(scope="module")
def light():
    return checkpoints.load(LIGHT, device="cpu", engine="torch")


def require(name: str) -> None:
    if missing := FORMATS[name].missing():
        pytest.skip(f"the format {name} needs {' and '.join(missing)}, not installed here")


@pytest.fixture(scope="module", params=FORMATS)
def written(request, light, tmp_path_factory):
    """A format, and the light model written in it; in int8 as its shipped file was fitted."""
    how = FORMATS[request.param]
    require(how.name)
    path = tmp_path_factory.mktemp(how.name) / f"light{how.suffix}"
    convert.main(["--model", LIGHT, "--format", how.name, "--out", str(path), "--card", "a://b"])
    return how, path


@pytest.mark.filterwarnings("ignore")  # of the converters, about their own parts
def test_every_format_computes_what_pytorch_computes(written, light):
    how, path = written
    faces = convert.example_faces(light)
    assert len(faces) == 8 and not torch.equal(faces[0], faces[1])
    network = take(light, {})
    run = how.run(path)
    for count in (1, 3, 8):
        differ = formats.compare(run, network, faces[:count], light.calibration)
        assert differ <= how.limit
    assert run(faces).shape == (8, 1)


@pytest.mark.filterwarnings("ignore")
def test_every_format_carries_what_an_app_needs(written, light):
    how, path = written
    found, card = how.read_metadata(path), light.card
    assert found == describe(card, precision=how.precision, address="a://b")
    assert found["sha256"] == card.sha256
    assert json.loads(found["labels"]) == ["real", "fake"]
    assert json.loads(found["input_size"]) == card.preprocessing.size
    assert tuple(json.loads(found["mean"])) == card.preprocessing.mean
    assert tuple(json.loads(found["std"])) == card.preprocessing.std
    for name in ("temperature", "offset", "real_below", "fake_above"):
        assert json.loads(found[name]) == getattr(card.calibration, name)


def test_the_shipped_int8_network_carries_the_calibration_of_the_card(light):
    """After a new one, `python -m train export --model NAME --format onnx-int8` renews it."""
    require("onnx")
    found = to_onnx.read_metadata(checkpoints.checkpoints_root() / LIGHT / INT8)
    wanted = describe(light.card, precision="int8")
    assert found.keys() == wanted.keys()
    assert {k for k in found if found[k] != wanted[k]} <= {"made_by"}  # which names the version


def test_a_file_that_computes_something_else_is_not_written(light, tmp_path):
    path = tmp_path / "light.openvino"
    path.mkdir()
    (path / "model.xml").write_text("the old one")
    network, wrong = take(light, {}), checkpoints.load(LIGHT, device="cpu", engine="torch")
    wrong.head.bias += 1
    off = dataclasses.replace(
        FORMATS["openvino"],
        write=lambda _, part: FORMATS["openvino"].write(take(wrong, {}), part),
    )
    faces = convert.example_faces(light)
    with pytest.raises(ConversionError, match=r"off by 0\.\d+ on 8 faces, .*nothing was written"):
        write_checked(off, network, path, faces, light.calibration)
    assert (path / "model.xml").read_text() == "the old one"
    assert sorted(tmp_path.iterdir()) == [path]


def test_nothing_is_left_of_a_file_that_cannot_be_written(light, tmp_path, monkeypatch):
    path = tmp_path / "light.onnx"
    path.write_text("the old one")
    require("onnx")
    monkeypatch.setattr(to_onnx, "set_metadata", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        convert.main(["--model", LIGHT, "--format", "onnx", "--out", str(path)])
    assert path.read_text() == "the old one" and sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", FORMATS)
def test_a_package_that_is_missing_is_named(name, monkeypatch, capsys):
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SystemExit) as stopped:
        train.__main__.main(["export", "--model", LIGHT, "--format", name])
    sentence = str(stopped.value)
    assert f"The format {name} needs " in sentence and "run `pip install" in sentence


def test_the_old_spelling_says_what_is_wrong_in_one_sentence():
    command = [sys.executable, "-m", "train.export", "--model", "nobody", "--format", "openvino"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 1
    assert done.stderr.startswith("error: There is no model 'nobody'")
    assert len(done.stderr.splitlines()) == 1


def test_examples_have_faces_to_compare_by(light):
    assert np.isfinite(convert.example_faces(light).numpy()).all()
