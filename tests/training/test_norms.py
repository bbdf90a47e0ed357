"""Tuning the norm layers alone, the loss on the sphere, and real and fake side by side."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
import torch
from torch import nn

from fakeface.models.backbones import BACKBONES
from tests.conftest import random_network
from tests.pools import TINY, make_run, record, tiny_pool
from train.datasets.epochs import draw, pair
from train.training import loop
from train.training.hypersphere import hypersphere_loss
from train.training.patch_loss import PatchLogits
from train.training.recipes import Phase, complete, load_recipe
from train.training.schedule import open_stages, parameter_groups
from train.training.state import Position

# -- the norms ------------------------------------------------------------------------------------


def names_of_norms(network: nn.Module) -> set[str]:
    """The parameters of layers that are called a normalisation, whoever wrote them."""
    return {
        f"{name}.{own}"
        for name, module in network.named_modules()
        if "Norm" in type(module).__name__ and "Mlp" not in type(module).__name__
        for own, _ in module.named_parameters(recurse=False)
    }


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_the_norms_and_the_head_are_opened_and_nothing_else(name):
    backbone, network = BACKBONES[name], random_network(name)
    open_stages(network, backbone, 5, "norms")
    opened = {name for name, p in network.named_parameters() if p.requires_grad}
    head = {f"{backbone.head}.weight", f"{backbone.head}.bias"}
    assert opened == names_of_norms(network) | head
    sizes = {name: p.numel() for name, p in network.named_parameters()}
    assert 0 < sum(sizes[name] for name in opened - head) < 0.02 * sum(sizes.values())
    given = parameter_groups(network, backbone, 1e-3, 0.8, 0.02)
    assert sum(p.numel() for group in given for p in group["params"]) == sum(
        sizes[name] for name in opened
    )


def test_only_the_norms_of_the_stages_that_are_asked_for():
    network = random_network("vit_small_patch14_dinov2")
    open_stages(network, BACKBONES["vit_small_patch14_dinov2"], 1, "norms")
    opened = {name for name, p in network.named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in opened} == {"blocks", "norm", "head"}
    assert {name.split(".")[1] for name in opened if name.startswith("blocks")} == {"9", "10", "11"}


@pytest.mark.parametrize("name", ["vit_small_patch14_dinov2", "mobilenetv2_100", "convnext_tiny"])
def test_the_norms_alone_learn(name):
    network = random_network(name)
    open_stages(network, BACKBONES[name], 5, "norms")
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.05)
    x, y = torch.randn(4, 3, 56, 56), torch.tensor([0.0, 1.0, 0.0, 1.0])
    x[1::2] += 1
    losses = []
    for _ in range(4):
        loss = nn.functional.binary_cross_entropy_with_logits(network(x).flatten(), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    weights = {key for key, _ in network.named_parameters()} - names_of_norms(network)
    head = f"{BACKBONES[name].head}."
    assert all(
        torch.equal(network.state_dict()[key], before[key])
        for key in weights
        if not key.startswith(head)
    )


def test_a_phase_of_norms_leaves_the_rest_as_it_was(tmp_path, monkeypatch):
    phases = (Phase("norms", 5, 1, 1e-2, tune="norms"),)
    recipe = dataclasses.replace(TINY, phases=phases, paired=True, hypersphere_loss=0.5)
    run = make_run(tiny_pool(tmp_path), tmp_path / "run", recipe)
    before = {key: tensor.clone() for key, tensor in run.model.named_parameters()}
    # The weights of the last step stay, be they better than those before or not.
    monkeypatch.setattr(loop, "_begin", lambda run, phase: setattr(run, "at", Position(phase)))
    assert loop.fit(run)
    changed = {k for k, t in run.model.named_parameters() if not torch.equal(t, before[k])}
    assert changed == names_of_norms(run.model) | {"classifier.weight", "classifier.bias"}


def test_the_phases_of_an_older_release_tuned_everything():
    written = dataclasses.asdict(TINY)
    for phase in written["phases"]:
        del phase["tune"]
    assert complete(written) == dataclasses.asdict(TINY)
    assert load_recipe("pool_dinov2_teacher").phases[0].tune == "norms"


# -- the sphere -----------------------------------------------------------------------------------


def test_the_loss_asks_for_classes_together_and_everything_apart():
    labels = torch.tensor([0.0, 0.0, 1.0, 1.0])
    one_point = torch.ones(4, 3)
    by_class = torch.tensor([[1.0, 0], [1, 0], [-1, 0], [-1, 0]])
    across = by_class[[0, 2, 1, 3]]
    assert hypersphere_loss(one_point, labels) == pytest.approx(0.0, abs=1e-6)
    # Of six pairs, two lie in one point and four are two apart.
    uniformity = torch.tensor((2 + 4 * torch.e**-8) / 6).log()
    assert hypersphere_loss(by_class, labels) == pytest.approx(float(uniformity), abs=1e-5)
    assert hypersphere_loss(across, labels) == pytest.approx(float(uniformity) + 0.8, abs=1e-5)
    assert hypersphere_loss(9 * by_class, labels) == hypersphere_loss(by_class, labels)
    assert hypersphere_loss(one_point[:1], labels[:1]) == 0


def test_the_loss_is_lowered_by_a_step_even_from_one_point():
    features = torch.ones(6, 4) + 1e-3 * torch.randn(6, 4, generator=torch.manual_seed(0))
    features[1] = features[0]  # two draws of one picture
    features.requires_grad_()
    labels = torch.tensor([0.0, 0, 0, 1, 1, 1])
    first = hypersphere_loss(features, labels)
    first.backward()
    assert features.grad is not None and features.grad.isfinite().all() and features.grad.any()
    with torch.no_grad():
        assert hypersphere_loss(features - 10 * features.grad, labels) < first


@pytest.mark.parametrize("name", ["resnet18", "convnext_tiny", "vit_small_patch14_dinov2"])
def test_the_loss_reads_what_the_head_is_given(name):
    network = random_network(name)
    judge = PatchLogits(network, BACKBONES[name].prefix_tokens)
    with torch.no_grad():
        whole, _, features = judge(torch.randn(2, 3, 56, 56))
        head = network.get_submodule(BACKBONES[name].head)
        assert torch.allclose(head(features).flatten(), whole, atol=1e-5)


# -- pairs ----------------------------------------------------------------------------------------


def pool_of_pairs():
    clips = [
        record(f"{kind}{i}", label=label, kind=kind, source="dfdc", family=family, group=f"clip{i}")
        for i in range(30)
        for label, kind, family in ((0, "photo", "video"), (1, "swap", "face_swap"))
    ]
    gans = [record(f"g{i}", label=1, kind="generated", source="gan", family="stylegan")
            for i in range(30)]  # fmt: skip
    faces = [record(f"f{i}", source="flickr", family="ffhq") for i in range(30)]
    flux = [record(f"x{i}", label=1, kind="generated", source="flux", family="flux")
            for i in range(30)]  # fmt: skip
    return clips + gans + faces + flux


@pytest.mark.parametrize("blend_share", [0.0, 0.25])
def test_a_fake_and_its_photograph_are_in_one_batch(blend_share):
    records = pool_of_pairs()
    drawn = draw(records, 640, 0.3, (3,), blend_share)
    paired = pair(drawn, records, (3,))
    assert len(paired) == 640
    fakes = Counter(r.sha256 for r in drawn if r.label)
    assert Counter(r.sha256 for r in paired if r.label) == fakes, "the fakes stay as drawn"
    near = {"face_swap": 0, "stylegan": 0}
    for first in range(0, 640, 16):
        batch = paired[first : first + 16]
        photographs = [r for r in batch if not r.label]
        for fake in batch:
            if fake.family == "face_swap":
                near["face_swap"] += any(r.group == fake.group for r in photographs)
            if fake.family == "stylegan":
                near["stylegan"] += any(r.family == "ffhq" for r in photographs)
    found = Counter(r.family for r in drawn if r.label)
    unpaired = max(0, 2 * sum(fakes.values()) - 640)  # fakes that outnumber the photographs
    assert near["face_swap"] + near["stylegan"] >= (
        found["face_swap"] + found["stylegan"] - unpaired
    )
    assert pair(drawn, records, (3,)) == paired != pair(drawn, records, (4,))


def test_the_faces_of_an_epoch_stand_in_pairs(tmp_path):
    run = make_run(tiny_pool(tmp_path), tmp_path / "run", dataclasses.replace(TINY, paired=True))
    labels = [record.label for record in run.draw(24, 1, 0).records]
    twos = [labels[i : i + 2] for i in range(0, 24, 2)]
    assert twos.count([1, 0]) == min(labels.count(0), labels.count(1))
