"""The network in int8: only where it is asked for, and never another than its card names."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from fakeface import cli
from fakeface.faces import Haar
from fakeface.images import decoder as images
from fakeface.models import checkpoints
from fakeface.models.card import INT8
from fakeface.types import CheckpointDamaged, CheckpointMissing, EngineError

LIGHT = "mobilenetv2_100"
ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.jpg"))


@pytest.fixture
def copied(tmp_path, monkeypatch) -> Path:
    """The folder of a copy of the light model, the only one below FAKEFACE_CHECKPOINTS."""
    root = tmp_path / "checkpoints"
    shutil.copytree(ROOT / "checkpoints" / LIGHT, root / LIGHT)
    monkeypatch.setenv("FAKEFACE_CHECKPOINTS", str(root))
    return root / LIGHT


def test_the_light_model_in_int8_is_small_and_says_about_the_same():
    plain, quick = (checkpoints.load(LIGHT, engine=engine) for engine in ("torch", "int8"))
    path = checkpoints.checkpoints_root() / LIGHT / INT8
    assert quick.engine == "int8" and plain.engine == "torch"
    assert path.stat().st_size <= 5e6
    assert quick.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() != plain.sha256
    assert quick.title == "MobileNetV2, int8"
    for example in EXAMPLES:
        image = images.decode(example.read_bytes())
        batch = plain.tensor(image, [face.box for face in Haar().detect(image)])
        said = [[model.score(z).p_fake for z in model.logits(batch)] for model in (plain, quick)]
        assert said[0] and said[1] == pytest.approx(said[0], abs=0.15)
        assert said[1] != said[0]


def test_int8_is_never_chosen_by_itself(copied, monkeypatch):
    for engine in ("auto", "openvino", None):
        assert checkpoints.load(LIGHT, engine=engine).engine != "int8"
    monkeypatch.setenv("FAKEFACE_ENGINE", "int8")
    assert checkpoints.load(LIGHT).engine == "int8"
    model = checkpoints.load(LIGHT)
    model.speed_up("torch")
    assert model.engine == "torch" and model.sha256 == model.card.sha256


def test_a_model_without_such_a_file_says_how_to_make_it(untrained):
    with pytest.raises(CheckpointMissing, match=r"export --model untrained --format onnx-int8"):
        checkpoints.load("untrained", engine="int8")


def test_a_file_that_the_card_does_not_name_is_not_used(copied):
    card = json.loads((copied / "card.json").read_text())
    del card["files"][INT8]
    (copied / "card.json").write_text(json.dumps(card))
    with pytest.raises(CheckpointMissing, match="no int8 network"):
        checkpoints.load(LIGHT, engine="int8")


def test_a_damaged_file_is_refused(copied):
    data = bytearray((copied / INT8).read_bytes())
    data[-1000] ^= 1
    (copied / INT8).write_bytes(data)
    with pytest.raises(CheckpointDamaged, match=r"model\.int8\.onnx does not have the checksum"):
        checkpoints.load(LIGHT, engine="int8")
    assert checkpoints.load(LIGHT, engine="torch").name == LIGHT


def test_a_file_that_is_no_network_is_one_sentence(copied):
    card = checkpoints.read_card(copied)
    checkpoints.write_int8(copied, card, b"no network")
    with pytest.raises(EngineError, match=r"OpenVINO cannot run the int8 network \(.+\); leave"):
        checkpoints.load(LIGHT, engine="int8")


def test_new_weights_take_the_int8_network_of_the_old_ones_away(copied):
    model = checkpoints.load(LIGHT, engine="torch")
    with torch.no_grad():
        model.head.bias += 1
    card = checkpoints.save(copied, model.network, model.card)
    assert not (copied / INT8).exists() and INT8 not in card.files


def test_a_cluster_does_not_take_the_wish_for_int8_silently(tmp_path, monkeypatch, capsys):
    scan = ["scan", str(EXAMPLES[0]), "--out", str(tmp_path / "t.csv"), "--engine", "ray"]
    assert cli.main([*scan, "--int8"]) == 2
    monkeypatch.setenv("FAKEFACE_ENGINE", "int8")
    assert cli.main(scan) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and all("int8 does not go with --engine ray" in line for line in said)


def test_the_command_line_names_the_file_that_judged(copied, capsys):
    picture = str(ROOT / "examples" / "grace_hopper.jpg")
    assert cli.main(["analyse", picture, "--detector", "haar", "--int8", "--json"]) == 0
    (judge,) = json.loads(capsys.readouterr().out)["judges"].values()
    assert judge["sha256"] == checkpoints.read_card(copied).files[INT8]
    (copied / INT8).unlink()
    assert cli.main(["analyse", picture, "--detector", "haar", "--int8"]) == 2
    said = capsys.readouterr().err
    assert "--format onnx-int8" in said and len(said.splitlines()) == 1
