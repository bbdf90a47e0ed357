"""OpenVINO against PyTorch, and the copy of a network that is kept in the user's cache."""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from fakeface.models import checkpoints, runtime
from fakeface.models.backbones import BACKBONES
from fakeface.models.engine import Model
from fakeface.models.runtime import compile_network
from fakeface.types import EngineError
from tests.conftest import card, random_network

SIZE = 96
SHA256 = "ab" * 32


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setattr(runtime.platformdirs, "user_cache_path", lambda _: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which MobileNetV2 was kept."""
    place = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime.platformdirs, "user_cache_path", lambda _: place)
        assert compile_network(*network(), SIZE, sha256=SHA256) is not None
    return place


@pytest.fixture
def full_cache(cache: Path, kept: Path) -> Path:
    """A copy of that cache."""
    return Path(shutil.copytree(kept, cache))


def network(name: str = "mobilenetv2_100") -> tuple[torch.nn.Module, torch.nn.Module]:
    whole = random_network(name).half().float()  # as weights of a file are
    return whole, whole.get_submodule(BACKBONES[name].head)


def expected(whole: torch.nn.Module, head: torch.nn.Module, batch: torch.Tensor):
    with torch.inference_mode():
        features = whole.forward_head(whole.forward_features(batch), pre_logits=True)
        return head(features).numpy(), features.numpy()


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_every_backbone_gives_what_pytorch_gives(name):
    whole, head = network(name)
    facts = BACKBONES[name]
    size = facts.input_size if facts.prefix_tokens else SIZE  # a transformer's is fixed
    run = compile_network(whole, head, size)
    assert run is not None
    for count in (1, 3):
        batch = torch.randn(count, 3, size, size, generator=torch.manual_seed(count))
        for found, wanted in zip(run(batch), expected(whole, head, batch), strict=True):
            assert found.shape == wanted.shape and found.dtype == np.float32
            np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)


def test_answers_do_not_change_when_the_next_comes(full_cache):
    run = compile_network(*network(), SIZE, sha256=SHA256)
    first = run(torch.zeros(1, 3, SIZE, SIZE))[0]
    before = first.copy()
    run(torch.ones(1, 3, SIZE, SIZE))
    assert (first == before).all()


def test_a_network_is_converted_once(full_cache, monkeypatch):
    (folder,) = full_cache.glob("openvino/*")
    assert sorted(file.name for file in folder.iterdir()) == ["network.bin", "network.xml"]
    monkeypatch.setattr(runtime, "convert_module", lambda *_: pytest.fail("converted again"))
    assert compile_network(*network(), SIZE, sha256=SHA256) is not None


def test_a_damaged_copy_is_made_anew(full_cache):
    (file,) = full_cache.glob("openvino/*/network.xml")
    file.write_text("<net")
    assert compile_network(*network(), SIZE, sha256=SHA256) is not None
    assert file.stat().st_size > 1000


def test_a_copy_of_other_weights_is_not_used(full_cache, caplog):
    torch.manual_seed(1)
    whole, head = network()
    torch.nn.init.normal_(head.weight, std=5.0)
    with caplog.at_level(logging.WARNING):
        assert compile_network(whole, head, SIZE, sha256=SHA256) is None
    assert "PyTorch runs the network" in caplog.text


def test_a_cache_that_cannot_be_written_costs_time_alone(cache):
    cache.write_text("a file where the folder should be")
    assert compile_network(*network(), SIZE, sha256=SHA256) is not None


def test_what_openvino_cannot_run_is_left_to_pytorch(caplog, monkeypatch):
    def fail(*_):
        raise RuntimeError("no such instruction\nat line 5")

    monkeypatch.setattr(runtime, "compile_graph", fail)
    assert compile_network(*network(), SIZE) is None
    assert "(no such instruction)" in caplog.text


def test_without_openvino(monkeypatch):
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda _: None)
    assert compile_network(*network(), SIZE) is None


# -- a model and its engine ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    root = tmp_path_factory.mktemp("checkpoints")
    checkpoints.save(
        root / "untrained", random_network("mobilenetv2_100"), card("untrained", size=SIZE)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime.platformdirs, "user_cache_path", lambda _: root / "cache")
        return checkpoints.load("untrained", root=root, engine="openvino")


def test_a_model_gives_the_same_with_either_engine(model, monkeypatch):
    monkeypatch.setattr(model, "runtime", model.runtime)  # and so again after this test
    batch = torch.randn(5, 3, SIZE, SIZE, generator=torch.manual_seed(0))
    quick = model.forward(batch)
    assert model.engine == "openvino"
    model.speed_up("torch")
    assert model.engine == "torch"
    for one, other in zip(quick, model.forward(batch)):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_of_nothing_the_width_of_the_features_is_told(model):
    logits, features = model.forward(torch.zeros(0, 3, SIZE, SIZE))
    assert logits.shape == (0,) and features.shape == (0, 1280)


def test_threads_do_not_mix_their_answers(model):
    batches = [torch.full((1, 3, SIZE, SIZE), n / 4) for n in range(8)]
    alone = [model.logits(batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(model.logits, batches * 4))
    assert np.allclose(together, alone * 4)


def test_where_openvino_fails_a_model_falls_back_or_says_so(untrained, monkeypatch):
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda _: None)
    assert checkpoints.load("untrained", engine="auto").engine == "torch"
    with pytest.raises(EngineError, match="cannot run 'untrained'"):
        checkpoints.load("untrained", engine="openvino")


def test_an_engine_that_does_not_exist(untrained, monkeypatch):
    monkeypatch.setenv("FAKEFACE_ENGINE", "abacus")
    with pytest.raises(EngineError, match="no engine 'abacus'; choose one of auto"):
        checkpoints.load("untrained")
