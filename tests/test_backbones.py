"""Every backbone runs, opens stage by stage, and can be explained."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from fakeface.explain import grad_cam
from fakeface.models.backbones import BACKBONES, build
from fakeface.models.engine import Model
from fakeface.types import Box
from tests.conftest import card, random_network
from train.training.schedule import open_stages, parameter_groups

NAMES = sorted(BACKBONES)


def model(name: str) -> Model:
    return Model(card(name, name), random_network(name), "cpu")


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (120, 120, 3), np.uint8)


def test_the_backbones_are_there_under_their_timm_names():
    assert NAMES == [
        "convnext_tiny",
        "mobilenetv2_100",
        "resnet18",
        "resnet50",
        "tf_efficientnet_lite2",
        "vit_small_patch14_dinov2",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_fresh_backbone_is_undecided(name):
    with torch.inference_mode():
        logits = build(name)(torch.randn(2, 3, 64, 64))
    assert logits.shape == (2, 1)
    assert torch.equal(logits, torch.zeros(2, 1))


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_belongs_to_one_stage_or_the_head(name):
    facts = BACKBONES[name]
    places = [place for stage in facts.stages for place in stage] + [facts.head]
    for parameter, _ in build(name).named_parameters():
        assert sum(f"{parameter}.".startswith(f"{place}.") for place in places) == 1, parameter


@pytest.mark.parametrize("name", NAMES)
def test_grad_cam_is_a_map_that_is_not_constant(name):
    shown = model(name)
    batch = shown.tensor(picture(), [Box(20, 20, 60, 70), Box(0, 0, 50, 50)])
    logits = shown.logits(batch)
    maps = grad_cam(shown, batch, logits)
    assert maps.shape == (2, 96, 96)
    assert maps.dtype == np.float32
    assert maps.min() >= 0 and maps.max() <= 1
    assert (maps.std(axis=(1, 2)) > 0.01).all()
    assert not shown.network._forward_hooks
    assert not shown.cam_layer._forward_hooks, "a hook was left on the network"
    assert np.array_equal(shown.logits(batch), logits)


def test_grad_cam_finds_the_place_that_decides():
    """A network whose logit is the brightness of the picture looks where it is bright."""

    class Bright(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = torch.nn.Conv2d(3, 1, 8, stride=8, bias=False)
            torch.nn.init.constant_(self.pool.weight, 1 / 192)

        def forward(self, x):
            return self.pool(x).mean((1, 2, 3))[:, None]

    shown = model("resnet18")
    shown.network = Bright()
    shown.cam_layer = shown.network.pool
    batch = torch.zeros(1, 3, 96, 96)
    batch[:, :, 8:40, 56:88] = 5.0
    heat = grad_cam(shown, batch, np.array([1.0]))[0]
    assert heat[24, 72] > 0.9
    assert heat[72, 24] < 0.1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stages", [0, 1, 5])
def test_exactly_the_open_stages_move(name, stages):
    facts = BACKBONES[name]
    network = random_network(name)
    for parameter in network.parameters():  # some start at zero, and so would their gradients
        torch.nn.init.normal_(parameter, std=0.1)
    opened = facts.stages[len(facts.stages) - stages :]
    places = (facts.head, *(place for stage in opened for place in stage))
    open_stages(network, facts, stages)
    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.AdamW(list(parameter_groups(network, facts, 0.1, 0.5, 0.1)))
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    optimizer.step()
    for key, value in network.state_dict().items():
        if value.is_floating_point():
            inside = any(f"{key}.".startswith(f"{place}.") for place in places)
            moved = not torch.equal(value, before[key])
            assert moved == inside, key


def test_the_learning_rate_falls_towards_the_stem_and_norms_do_not_decay():
    facts = BACKBONES["resnet18"]
    network = build("resnet18")
    open_stages(network, facts, 5)
    groups = list(parameter_groups(network, facts, 1.0, 0.5, 0.1))
    rates = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert rates[id(network.fc.weight)] == (1.0, 0.1)
    assert rates[id(network.fc.bias)] == (1.0, 0.0)
    assert rates[id(network.layer4[0].conv1.weight)] == (0.5, 0.1)
    assert rates[id(network.layer4[0].bn1.weight)] == (0.5, 0.0)
    assert rates[id(network.conv1.weight)] == (0.5**5, 0.1)
    assert len(rates) == len(list(network.parameters()))
