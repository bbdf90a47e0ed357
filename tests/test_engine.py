"""Tensor -> logits."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from fakeface.explain import grad_cam
from fakeface.models.backbones import BACKBONES
from fakeface.models.calibrate import Calibration
from fakeface.models.engine import Model
from fakeface.models.preprocess import Preprocessing
from fakeface.types import Verdict
from tests.conftest import card, random_network

HOW = Preprocessing(64, 0.3, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
LIMITS = Calibration(2.0, 0.3, 0.7)


def model(device: str = "cpu") -> Model:
    facts = card("m", preprocessing=HOW, calibration=LIMITS)
    return Model(facts, random_network("mobilenetv2_100"), device)


def faces(count: int) -> torch.Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_a_batch_gives_what_each_face_gives_alone():
    shown, batch = model(), faces(40)  # more than one internal batch
    together = shown.logits(batch)
    assert together.shape == (40,) and together.dtype == np.float32
    for i in (0, 31, 32, 39):
        assert shown.logits(batch[i : i + 1])[0] == pytest.approx(together[i], abs=1e-4)


def test_no_faces_no_logits():
    logits, style = model().forward(torch.empty(0, 3, 64, 64))
    assert (logits.shape, style.shape) == ((0,), (0, 112))


@pytest.mark.parametrize("name", BACKBONES)
def test_one_pass_gives_the_networks_own_logits_and_the_style_of_its_maps(name):
    network = random_network(name)
    facts = BACKBONES[name]
    shown = Model(card("m", name, preprocessing=HOW, calibration=LIMITS), network, "cpu")
    batch = faces(3)
    passes = []
    head = network.get_submodule(facts.head)
    head.register_forward_pre_hook(lambda *_: passes.append("head"))
    logits, style = shown.forward(batch)
    assert passes == ["head", "head"], "a face and its mirror image, once each"
    with torch.inference_mode():
        both = network(batch) + network(batch.flip(3))
        assert np.array_equal(logits, (both / 2).flatten().numpy()), "bit for bit"
        maps = network.forward_intermediates(batch, intermediates_only=True)
    wanted = []
    for number in facts.style_maps:
        own = maps[number].numpy()
        wanted += [own.mean((2, 3)), own.std((2, 3))]
    np.testing.assert_allclose(style, np.concatenate(wanted, 1), rtol=1e-3, atol=1e-4)
    assert max(facts.style_maps) < len(maps) - 1, "the last map tells what is shown"
    assert np.array_equal(shown.logits(batch), logits)
    passes.clear()
    np.testing.assert_allclose(shown.style(batch), style, rtol=1e-5, atol=1e-6)
    assert passes == [], "the network stops at the last of the maps"


def test_a_logit_is_read_by_the_models_own_calibration():
    score = model().score(4.0)
    assert score.p_fake == pytest.approx(1 / (1 + np.exp(-2)))
    assert (score.model, score.logit, score.verdict) == ("m", 4.0, Verdict.FAKE)


def test_threads_may_share_a_model_while_it_is_explained():
    shown, batch = model(), faces(2)
    wanted = shown.logits(batch)
    maps = grad_cam(shown, batch, wanted)
    wrong: list[str] = []

    def work(explain: bool) -> None:
        for _ in range(3):
            if explain:
                if not np.allclose(grad_cam(shown, batch, wanted), maps, atol=1e-5):
                    wrong.append("map")
            elif not np.allclose(shown.logits(batch), wanted, atol=1e-5):
                wrong.append("logit")

    threads = [threading.Thread(target=work, args=(i % 2 == 0,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_gives_the_same_answer_but_for_half_precision():
    assert model("cuda").logits(faces(4).cuda()) == pytest.approx(model().logits(faces(4)), abs=0.1)
