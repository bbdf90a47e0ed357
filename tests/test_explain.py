"""How faithful a heatmap is, where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fakeface.explain import _without, faithfulness, grad_cam
from fakeface.models.calibrate import Calibration
from fakeface.models.engine import Model
from fakeface.models.preprocess import Preprocessing
from tests.conftest import card, random_network

SIDE = 64
HOW = Preprocessing(SIDE, 0.3, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
EYES = np.s_[..., 16:32, 8:56]  # 19 % of the pixels


class Eyes(Model):
    """The logit is the brightness of the eyes, and nothing else matters."""

    def __init__(self, sign: float = 1.0) -> None:
        network = random_network("mobilenetv2_100")
        facts = card("m", preprocessing=HOW, calibration=Calibration(1.0, 0.3, 0.7))
        super().__init__(facts, network, "cpu")
        self.sign = sign

    def forward(self, batch: torch.Tensor):
        logits = self.sign * batch[EYES].mean(dim=(1, 2, 3)).numpy()
        return logits.astype(np.float32), np.zeros((len(batch), 1), np.float32)


def faces() -> torch.Tensor:
    """Bright eyes in a face that is else dark, with some noise; and the reverse."""
    noise = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 0.1
    noise[EYES] += torch.tensor([3.0, -3.0])[:, None, None, None]
    return noise


def heat(where=EYES) -> np.ndarray:
    values = np.zeros((2, SIDE, SIDE), np.float32)
    values[where] = 1.0
    return values


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_map_of_what_decides_is_faithful_on_either_side(sign):
    model, batch = Eyes(sign), faces()
    logits = model.logits(batch)
    for own, random in faithfulness(model, batch, logits, heat()):
        # Some of the eyes is hidden at 10 %, all at 30 and 50 %, where p falls from 0.95 to 0.5;
        # nothing of them is hidden among the coldest.
        assert 0.1 < own <= 0.25
        assert own > abs(random)


def test_the_opposite_map_has_the_opposite_number():
    model, batch = Eyes(), faces()
    logits = model.logits(batch)
    right, wrong = (faithfulness(model, batch, logits, h) for h in (heat(), 1 - heat()))
    for (a, chance), (b, same) in zip(right, wrong):
        # Not quite: equal values are hidden in one order, and kept in the other.
        assert a == pytest.approx(-b, abs=0.05)
        assert chance == same


def test_only_the_order_of_the_values_counts_and_the_answer_is_always_the_same():
    model, batch = Eyes(), faces()
    logits = model.logits(batch)
    smooth = np.random.default_rng(0).random((2, SIDE, SIDE)).astype(np.float32)
    wanted = faithfulness(model, batch, logits, smooth)
    torch.manual_seed(7)
    assert faithfulness(model, batch, logits, smooth) == wanted
    assert faithfulness(model, batch, logits, smooth**3) == wanted
    assert faithfulness(model, batch[1:], logits[1:], smooth[1:]) == wanted[1:]


def test_a_map_without_any_heat_is_no_trouble():
    model, batch = Eyes(), faces()
    cold = np.zeros((2, SIDE, SIDE), np.float32)
    for own, _ in faithfulness(model, batch, model.logits(batch), cold):
        assert abs(own) < 0.1


def test_what_is_hidden_is_filled_in_from_its_surroundings():
    slope = torch.linspace(0, 1, SIDE).expand(3, SIDE, SIDE).contiguous()
    spoilt, hidden = slope.clone(), np.zeros((SIDE, SIDE), bool)
    hidden[20:40, 10:30] = True
    spoilt[:, torch.from_numpy(hidden)] = 99.0
    before = spoilt.clone()
    filled = _without(spoilt, hidden)
    assert torch.equal(spoilt, before)
    # A slope is its own mean of neighbours, so it comes back.
    assert filled.numpy() == pytest.approx(slope.numpy(), abs=1e-5)


def test_the_offset_decides_which_side_is_explained():
    """A logit of 0.5 speaks for real where the calibration takes 1 off."""
    network, batch = random_network("mobilenetv2_100"), faces()
    plain, shifted = (
        Model(
            card("m", preprocessing=HOW, calibration=Calibration(1.0, 0.3, 0.7, offset=offset)),
            network,
            "cpu",
        )
        for offset in (0.0, -1.0)
    )
    logits = np.full(len(batch), 0.5, np.float32)
    fake, real = grad_cam(plain, batch, logits), grad_cam(plain, batch, -logits)
    assert not np.array_equal(fake, real)
    assert np.array_equal(grad_cam(shifted, batch, logits), real)
