"""OpenVINO against PyTorch, and the copy of a network that is kept in the user's cache."""

from __future__ import annotations

import importlib
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch

from fakeface.models import checkpoints, engine, runtime
from fakeface.models.backbones import BACKBONES
from fakeface.models.card import Shortcuts
from fakeface.models.engine import Model
from fakeface.models.outputs import Outputs
from fakeface.models.runtime import compile_network
from fakeface.types import EngineError
from tests.conftest import card, random_network

SIZE = 96


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setattr(runtime.platformdirs, "user_cache_path", lambda _: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the cache keeps MobileNetV2, which is converted once for all tests."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, kept: Path) -> Model:
    root = tmp_path_factory.mktemp("checkpoints")
    checkpoints.save(
        root / "untrained", random_network("mobilenetv2_100"), card("untrained", size=SIZE)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime.platformdirs, "user_cache_path", lambda _: kept)
        return checkpoints.load("untrained", root=root, engine="openvino")


@pytest.fixture
def full_cache(cache: Path, kept: Path, model: Model) -> Path:
    """A copy of that cache."""
    return Path(shutil.copytree(kept, cache))


def network(name: str = "mobilenetv2_100") -> Outputs:
    whole = random_network(name).half().float()  # as weights of a file are
    return Outputs(whole, BACKBONES[name].style_maps).eval()


def test_openvino_does_not_report_its_import():
    reporter = importlib.import_module("openvino.tools.ovc.telemetry_utils").tm
    assert reporter.__name__ == "openvino.tools.ovc.telemetry_stub"


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_every_backbone_gives_what_pytorch_gives(name):
    outputs = network(name)
    facts = BACKBONES[name]
    size = facts.input_size if facts.prefix_tokens else SIZE  # a transformer's is fixed
    run = compile_network(outputs, size)
    assert run is not None
    for count in (1, 3):
        batch = torch.randn(count, 3, size, size, generator=torch.manual_seed(count))
        with torch.inference_mode():
            both = outputs(batch)
        for found, wanted in zip(run(batch), both, strict=True):
            assert found.shape == wanted.shape and found.dtype == np.float32
            np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)


def test_answers_do_not_change_when_the_next_comes(full_cache, model):
    run = compile_network(network(), SIZE, sha256=model.sha256)
    first = run(torch.zeros(1, 3, SIZE, SIZE))[0]
    before = first.copy()
    run(torch.ones(1, 3, SIZE, SIZE))
    assert (first == before).all()


def test_it_takes_as_many_threads_as_torch(full_cache, model, monkeypatch):
    given = []
    real = openvino.Core.compile_model

    def compile_model(core, graph, device, options):
        given.append(options["INFERENCE_NUM_THREADS"])
        return real(core, graph, device, options)

    monkeypatch.setattr(openvino.Core, "compile_model", compile_model)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert compile_network(network(), SIZE, sha256=model.sha256) is not None
    finally:
        torch.set_num_threads(before)
    assert given == [1, 2]


def test_a_network_is_converted_once(full_cache, model, monkeypatch):
    (folder,) = full_cache.glob("openvino/*")
    assert sorted(file.name for file in folder.iterdir()) == ["network.bin", "network.xml"]
    monkeypatch.setattr(runtime, "convert", lambda *_: pytest.fail("converted again"))
    assert compile_network(network(), SIZE, sha256=model.sha256) is not None


def test_a_damaged_copy_is_made_anew(full_cache, model):
    (file,) = full_cache.glob("openvino/*/network.xml")
    file.write_text("<net")
    assert compile_network(network(), SIZE, sha256=model.sha256) is not None
    assert file.stat().st_size > 1000


def test_a_copy_of_other_weights_is_not_used(full_cache, model, caplog):
    torch.manual_seed(1)
    outputs = network()
    torch.nn.init.normal_(outputs.network.classifier.weight, std=5.0)
    with caplog.at_level(logging.WARNING):
        assert compile_network(outputs, SIZE, sha256=model.sha256) is None
    assert "PyTorch runs the network" in caplog.text


def test_a_cache_that_cannot_be_written_costs_time_alone(cache, model):
    cache.write_text("a file where the folder should be")
    assert compile_network(network(), SIZE, sha256=model.sha256) is not None


def test_what_openvino_cannot_run_is_left_to_pytorch(full_cache, model, caplog, monkeypatch):
    def fail(*_):
        raise RuntimeError("no such instruction\nat line 5")

    monkeypatch.setattr(runtime, "_compile", fail)
    assert compile_network(network(), SIZE, sha256=model.sha256) is None
    assert "(no such instruction)" in caplog.text


def test_without_openvino(monkeypatch):
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda _: None)
    assert compile_network(network(), SIZE) is None


# -- a model and its engine ----------------------------------------------------------------------


def test_a_model_gives_the_same_with_either_engine(model, monkeypatch):
    monkeypatch.setattr(model, "runtime", model.runtime)  # and so again after this test
    batch = torch.randn(5, 3, SIZE, SIZE, generator=torch.manual_seed(0))
    quick = model.forward(batch)
    assert model.engine == "openvino"
    model.speed_up("torch")
    assert model.engine == "torch"
    for one, other in zip(quick, model.forward(batch)):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_of_nothing_the_width_of_the_style_is_told(model):
    logits, style = model.forward(torch.zeros(0, 3, SIZE, SIZE))
    assert logits.shape == (0,) and style.shape == (0, 112)


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


# -- bfloat16 -------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """In which precisions networks were compiled; bfloat16 fails, with the sentence for it."""
    precisions: list[str] = []
    real = runtime._compile

    def compile_(graph, precision):
        precisions.append(precision)
        if precision == "bf16":
            raise RuntimeError("not here")
        return real(graph, precision)

    monkeypatch.setattr(runtime, "_compile", compile_)
    return precisions


def allow_bf16(root: Path) -> None:
    folder = root / "untrained"
    known = checkpoints.read_card(folder)
    checkpoints.write_card(folder, replace(known, shortcuts=Shortcuts(bf16=True)))


def test_bfloat16_only_where_the_card_allows_it_and_the_processor_has_it(
    untrained, full_cache, asked, monkeypatch
):
    monkeypatch.setattr(engine, "computes_bf16", lambda: True)
    checkpoints.load("untrained", engine="auto")
    assert asked == ["f32"]
    allow_bf16(untrained)
    monkeypatch.setattr(engine, "computes_bf16", lambda: False)
    checkpoints.load("untrained", engine="auto")
    assert asked == ["f32", "f32"]


def test_where_bfloat16_fails_full_precision_is_used_and_the_log_says_so(
    untrained, full_cache, asked, monkeypatch, caplog
):
    monkeypatch.setattr(engine, "computes_bf16", lambda: True)
    allow_bf16(untrained)
    with caplog.at_level(logging.WARNING):
        assert checkpoints.load("untrained", engine="auto").engine == "openvino"
    assert asked == ["bf16", "f32"]
    assert "(not here), so the network runs in full precision" in caplog.text


@pytest.mark.skipif(not runtime.computes_bf16(), reason="this processor has no bfloat16")
def test_in_bfloat16_logits_are_about_the_same():
    outputs = network()
    torch.nn.init.normal_(outputs.network.classifier.weight, std=0.01)  # logits about 1
    run = compile_network(outputs, SIZE, precision="bf16")
    assert run is not None
    batch = torch.randn(3, 3, SIZE, SIZE, generator=torch.manual_seed(0))
    with torch.inference_mode():
        found, wanted = run(batch)[0], outputs(batch)[0].numpy()
    assert 0 < np.abs(found - wanted).max() < 0.1
