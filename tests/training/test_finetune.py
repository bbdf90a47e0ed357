"""Training by progressive unfreezing: what moves, what is mixed, and who shares the work."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import platform
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

from fakeface.models import checkpoints
from fakeface.models.backbones import BACKBONES, build
from fakeface.models.calibrate import Calibration
from fakeface.models.preprocess import Preprocessing, face_tensor
from fakeface.types import Box
from tests.conftest import card, random_network
from tests.pools import TINY, Whole, make_run, tiny_pool
from train.augment.blend import self_blend
from train.augment.degrade import UNCHANGED, augment, move
from train.datasets.epochs import blend_chance, draw, limit
from train.datasets.faces import FaceSet
from train.datasets.sources import read_manifest
from train.training import finetune
from train.training.distil import Member, Teacher, shrink
from train.training.loop import fit, fit_head
from train.training.net2net import widen
from train.training.patch_loss import PatchLogits, patch_loss
from train.training.precision import autocast
from train.training.recipes import UnknownRecipe, change, complete, load_recipe
from train.training.run import average_weights
from train.training.schedule import open_stages, parameter_groups
from train.training.state import read_state
from train.training.step import mix, step

# -- the phases -----------------------------------------------------------------------------------


def moved(network: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, t in network.state_dict().items() if not torch.equal(t, before[name])}


@pytest.mark.parametrize("stages", [0, 1, 3, 5])
@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_a_step_moves_the_open_layers_all_of_them_and_no_other(name, stages):
    backbone, network = BACKBONES[name], random_network(name)
    # Layers that start at zero would keep those before them from moving in one step.
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    open_stages(network, backbone, stages)
    optimizer = torch.optim.AdamW(list(parameter_groups(network, backbone, 1e-3, 0.8, 0.02)))
    network(torch.randn(4, 3, 64, 64)).sum().backward()
    optimizer.step()
    opened = (backbone.head, *(n for s in backbone.stages[5 - stages :] for n in s))
    wanted = {key for key in before if any(f"{key}.".startswith(f"{part}.") for part in opened)}
    # The sum that is the loss has no say in the shift before a norm layer's last batch statistics.
    assert moved(network, before) <= wanted
    missing = wanted - moved(network, before)
    assert not missing, sorted(missing)[:3]


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_every_backbone_learns_from_the_places(name):
    """A step on the patch loss alone lowers it: half of the picture was made."""
    network = random_network(name)
    open_stages(network, BACKBONES[name], 5)
    judge = PatchLogits(network, BACKBONES[name].prefix_tokens)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    x, mask = torch.randn(4, 3, 96, 96), torch.zeros(4, 28, 28)
    x[..., :48], mask[..., :14] = x[..., :48] + 2, 1.0
    losses = []
    for _ in range(4):
        loss = patch_loss(judge(x)[1], mask)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_the_average_of_the_weights_starts_short():
    """After n steps its decay is n / (9 + n), as it always was, and never above the recipe's."""
    network = nn.Linear(1, 1)
    average = average_weights(network, 0.9)
    assert [average.get_decay(step + 1) for step in (1, 2, 9)] == pytest.approx([0.1, 2 / 11, 0.5])
    assert average.get_decay(1000) == 0.9


@pytest.fixture(scope="module")
def pool(tmp_path_factory) -> Path:
    return tiny_pool(tmp_path_factory.mktemp("pool"))


def test_the_first_phase_moves_the_head_alone(pool, tmp_path):
    recipe = dataclasses.replace(TINY, backbone="convnext_tiny")  # it has no batch norm
    run = make_run(pool, tmp_path / "run", recipe)
    before = {k: v.clone() for k, v in run.model.state_dict().items()}
    fit_head(run)
    assert moved(run.model, before) == {"head.fc.weight", "head.fc.bias"}


def test_layers_without_weights_get_their_statistics_before_the_head_is_fitted(pool, tmp_path):
    run = make_run(pool, tmp_path / "run", TINY)
    run.model.bn1.running_mean.fill_(0.25)  # as if it came with weights
    fit_head(run)
    assert torch.all(run.model.bn1.running_mean == 0.25)
    assert run.model.bn2.running_mean.any()
    assert not run.model.bn2.training


# -- one step -------------------------------------------------------------------------------------


def test_two_small_batches_make_the_step_of_one_large_batch(pool, tmp_path):
    large = dataclasses.replace(TINY, backbone="convnext_tiny", batch=8)
    small = dataclasses.replace(large, batch=4, accumulate=2)
    changes = []
    for number, recipe in enumerate((large, small)):
        run = make_run(pool, tmp_path / str(number), recipe)
        run.model.load_state_dict(random_network("convnext_tiny").state_dict())
        run.model.train().requires_grad_(True)
        before = run.model.head.fc.weight.detach().clone()
        optimizer = torch.optim.SGD(run.model.parameters(), lr=1.0)
        step(run, PatchLogits(run.model), run.batches(recipe.accumulate, 0), optimizer, 0)
        changes.append((run.model.head.fc.weight.detach() - before).flatten())
    assert changes[0].abs().max() > 0
    assert torch.allclose(*changes, rtol=0.1, atol=0.03 * float(changes[0].abs().max()))


def test_a_mixed_picture_has_the_label_of_its_parts():
    y = torch.tensor([0.0, 1.0, 0.0, 1.0])
    x = y[:, None, None, None].expand(4, 3, 2, 2)  # every pixel says what the label is
    seen = set()
    for seed in range(20):
        mixed, label = mix((x, y), 0.4, np.random.default_rng(seed))
        assert torch.allclose(mixed.mean((1, 2, 3)), label, atol=1e-6)
        seen |= {round(float(v), 3) for v in label}
    assert any(0.02 < v < 0.98 for v in seen)


def test_a_limit_takes_as_many_and_the_same_ones(pool):
    records = read_manifest(pool)
    assert limit(records, None, 0) == records
    few = limit(records, 7, 0)
    assert len(set(few)) == 7
    assert few == limit(records, 7, 0) != limit(records, 7, 1)


# -- fakes made of photographs --------------------------------------------------------------------


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (120, 100, 3), np.uint8)


def test_a_blend_changes_the_masked_region_and_not_one_pixel_else():
    image, face = picture(), Box(30, 30, 40, 50)
    for seed in range(20):
        out, mask = self_blend(image, face, np.random.default_rng(seed))
        assert out.shape == image.shape and out.dtype == np.uint8
        assert mask.shape == image.shape[:2] and mask.dtype == np.float32
        assert mask.min() >= 0 and mask.max() <= 1
        assert np.array_equal(out[mask == 0], image[mask == 0])
        assert np.abs(out[mask > 0.4].astype(int) - image[mask > 0.4]).mean() > 1
        y, x = np.average(np.indices(mask.shape).reshape(2, -1), axis=1, weights=mask.ravel())
        assert 30 < x < 70 and 30 < y < 80
    again, _ = self_blend(image, face, np.random.default_rng(19))
    assert np.array_equal(out, again)
    assert np.array_equal(image, picture())


def test_the_place_of_a_blend_is_moved_as_the_picture_is():
    cloud = cv2.GaussianBlur(picture()[..., 0].astype(np.float32), (0, 0), 6)
    mask = (cloud > np.median(cloud)).astype(np.float32)
    image = np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * np.uint8(255)
    how = Preprocessing(56, 0.3, (0.0,) * 3, (1.0,) * 3)
    faces = FaceSet([], {}, how)
    turned = dataclasses.replace(UNCHANGED, turn=(0.9, 30.0))
    seen = set()
    for seed in range(12):
        box = Box(20 + seed, 30, 50, 60)
        there = faces.crop_mask(
            mask, box, partial(move, how=turned, rng=np.random.default_rng(seed))
        )
        change = partial(augment, how=turned, rng=np.random.default_rng(seed))
        x = face_tensor(image, box, how, change)[0]
        assert there.shape == (28, 28) and there.min() >= 0 and there.max() <= 1
        small = adaptive_avg_pool2d(x[None], 28)[0]
        assert torch.corrcoef(torch.stack([small.ravel(), there.ravel()]))[0, 1] > 0.97
        seen.add(there.numpy().tobytes())
    assert len(seen) == 12


def test_what_is_known_of_the_place(pool):
    records = read_manifest(pool)
    some = [dataclasses.replace(records[1], kind=kind) for kind in ("generated", "swap", "edited")]
    faces = {r.sha256: Box(10, 10, 40, 40) for r in records}
    how = Preprocessing(32, 0.3, (0.0,) * 3, (1.0,) * 3)
    assert not FaceSet(records, faces, how)[0].mask.any()
    generated, swap, edited = FaceSet(some, faces, how, TINY.augmentation)
    assert (generated.mask == 1).all()
    assert swap.mask.isnan().all() and edited.mask.isnan().all()
    blended = FaceSet(records, faces, how, UNCHANGED, blend=1.0)[0]
    assert blended.label == 1 and 0.05 < float(blended.mask.mean()) < 0.95


def test_a_place_is_judged_as_a_picture_of_it_alone_would_be():
    # Of those whose head is linear behind the mean.
    for name, grid in (("resnet18", 4), ("mobilenetv2_100", 4), ("vit_small_patch14_dinov2", 9)):
        network = PatchLogits(random_network(name), BACKBONES[name].prefix_tokens)
        whole, places, _ = network(torch.randn(2, 3, 126, 126))
        assert places.shape == (2, grid, grid)
        assert torch.allclose(places.mean((1, 2)), whole, atol=1e-4)
        assert places.std() > 0


def test_the_local_loss_asks_only_what_is_known():
    logits = torch.tensor([[[4.0, -4.0], [4.0, -4.0]]] * 2)
    half = torch.tensor([1.0, 0.0]).repeat_interleave(14).expand(28, 28)
    unknown = torch.full((28, 28), torch.nan)
    right = float(patch_loss(logits, torch.stack([half, unknown])))
    wrong = float(patch_loss(logits, torch.stack([1 - half, unknown])))
    assert right == pytest.approx(np.log1p(np.exp(-4)), rel=1e-4)
    assert wrong == pytest.approx(4 + right, rel=1e-4)
    assert patch_loss(logits, torch.stack([unknown, unknown])) == 0


def test_a_run_with_blends_is_judged_on_blends_too(pool, tmp_path):
    run = make_run(pool, tmp_path, dataclasses.replace(TINY, blend_share=0.4, patch_loss=0.5))
    fit(run)
    lines = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert len(lines) == 4
    judged = [0.6 * float(line["val_auc_without_swaps"]) + 0.4 * float(line["val_auc_blended"])
              for line in lines]  # fmt: skip
    assert run.at.best_auc == pytest.approx(max(judged))


def test_a_face_that_reaches_over_the_border_is_blended_too():
    out, mask = self_blend(picture(), Box(0, 80, 60, 40), np.random.default_rng(0))
    assert mask.any() and out.shape == picture().shape


def test_blends_count_as_fakes_and_keep_an_epoch_balanced(pool):
    records = read_manifest(pool)
    faces = {r.sha256: Box(10, 10, 40, 40) for r in records}
    drawn = draw(records, 400, 0.0, (0,), 0.3)
    made = FaceSet(drawn, faces, Preprocessing(32, 0.3, (0,) * 3, (1,) * 3),
                   TINY.augmentation, (0,), blend_chance(0.3))  # fmt: skip
    labels = [int(made[i].label) for i in range(400)]
    assert np.mean(labels) == pytest.approx(0.5, abs=0.08)
    turned = [r.label == 0 and label == 1 for r, label in zip(drawn, labels)]
    assert np.mean(turned) == pytest.approx(0.15, abs=0.05)
    assert not any(r.label == 1 and label == 0 for r, label in zip(drawn, labels))


def test_families_may_be_drawn_alike(pool):
    few = read_manifest(pool)
    fakes = iter("abbbbbb" * len(few))
    mine = [dataclasses.replace(r, family=next(fakes) if r.label else "photo") for r in few]
    drawn = draw(mine, 4000, 0.0, (0,), by_family=True)
    assert np.mean([r.label for r in drawn]) == pytest.approx(0.5, abs=0.03)
    found = [r.family for r in drawn if r.label]
    assert found.count("a") / len(found) == pytest.approx(0.5, abs=0.04)


def test_a_recipe_is_changed_in_one_thing():
    one = change(TINY, ["mixup=1", "augmentation.resize=[0.5, 0.2, 2.0]", "seed=4"])
    resized = dataclasses.replace(TINY.augmentation, resize=(0.5, 0.2, 2.0))
    assert one == dataclasses.replace(TINY, mixup=1.0, augmentation=resized, seed=4)
    assert change(TINY, []) == TINY


@pytest.mark.parametrize("wrong", ["mixup", "nothing=1", "mixup=much", "seed=1.5", "phases=[]",
                                   "augmentation.nothing=1", "backbone=3"])  # fmt: skip
def test_a_change_that_changes_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match=wrong.partition("=")[0]):
        change(TINY, [wrong])


def test_a_recipe_written_by_an_older_release_is_read():
    new = dataclasses.asdict(dataclasses.replace(TINY, patch_loss=0.5))
    old = {key: value for key, value in new.items() if key not in ("patch_loss", "hints")}
    old |= {"local": 0.5, "window": 0, "resample_share": 0.0}
    old["augmentation"] = {
        k: v for k, v in new["augmentation"].items() if k not in ("webp", "avif")
    }
    assert complete(old) == new
    assert complete({**old, "window": 96})["window"] == 96, "it would pass for another recipe"
    assert change(TINY, ["local=0.5"]).patch_loss == 0.5


def test_a_recipe_may_stand_in_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from tests.pools import TINY\n\nRECIPE = TINY\n")
    assert load_recipe(str(path)) == TINY
    with pytest.raises(UnknownRecipe, match="no recipe pool_resnet19; give a file, or one of"):
        load_recipe("pool_resnet19")


@pytest.mark.parametrize("name", ["convnext_tiny", "mobilenetv2_100", "resnet18", "resnet50"])
def test_the_recipes_are_those_that_the_shipped_cards_tell(name):
    """Each run that led to the weights can be repeated by the name that its card gives."""
    card = Path(__file__).parents[2] / "checkpoints" / name / "card.json"
    told = json.loads(card.read_text())["training"]
    while told:
        command, run, *_ = re.split("[. ]", told["command"].removeprefix("python -m train"))[1:]
        if command == "finetune":
            recipe = json.loads(json.dumps(dataclasses.asdict(load_recipe(run))))
            assert recipe == complete(told["recipe"]), run
        told = told["after"]


# -- starts ---------------------------------------------------------------------------------------


def test_a_widened_network_computes_what_the_small_one_did():
    small = random_network("resnet18")
    faces = torch.randn(16, 3, 64, 64)
    with torch.no_grad():
        for module in small.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.3, 1.2)
                nn.init.normal_(module.bias, 0, 0.2)
        small.train()
        for _ in range(40):
            small(faces)
        # The two convolutions that have no place of their own say nothing here.
        for block in (small.layer1[1], small.layer4[1]):
            nn.init.zeros_(block.bn2.weight)
            nn.init.zeros_(block.bn2.bias)
        small.eval()
        large = widen(small, faces)
        wanted, found = small(faces), large(faces)
    assert wanted.std() > 0.1
    assert torch.allclose(found, wanted, atol=0.02 * float(wanted.std()))
    # A first step of Adam, of 1e-4 each, must not undo it when training begins.
    with torch.no_grad():
        before = large.train()(faces).flatten()
        for parameter in large.parameters():
            parameter += 1e-4 * torch.sign(torch.randn_like(parameter))
        after = large(faces).flatten()
    assert torch.corrcoef(torch.stack([before, after]))[0, 1] > 0.98


def test_a_student_comes_nearer_to_its_teacher(pool):
    torch.manual_seed(0)
    student, network = build("resnet18").train(), random_network("mobilenetv2_100")
    teacher = Teacher(
        [Member(network, BACKBONES["mobilenetv2_100"], 96)], student, BACKBONES["resnet18"]
    )
    assert {k.split(".")[0] for k in teacher.state_dict()} == {"maps"}
    before = {k: v.clone() for k, v in network.state_dict().items()}
    x = torch.randn(8, 3, 96, 96)
    optimizer = torch.optim.AdamW([*student.parameters(), *teacher.parameters()], lr=2e-3)
    losses = []
    for _ in range(12):
        loss = teacher(x, student(shrink(x, 64)).flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert not moved(network, before)


def test_a_transformer_teaches_by_its_tokens():
    own, theirs = BACKBONES["mobilenetv2_100"], BACKBONES["vit_small_patch14_dinov2"]
    student, network = build(own.name).train(), random_network(theirs.name)
    teacher = Teacher([Member(network, theirs, 112)], student, own)
    x = torch.randn(2, 3, 112, 112)
    teacher(x, student(shrink(x, 96)).flatten()).backward()
    assert [m.out_channels for m in teacher.maps] == [384] * 4
    assert all(m.weight.grad.abs().sum() > 0 for m in teacher.maps)
    assert student.conv_stem.weight.grad.abs().sum() > 0


def test_a_student_is_shown_a_smaller_copy():
    x = torch.arange(8.0).expand(1, 3, 8, 8).contiguous()
    assert shrink(x, 8) is x
    small = shrink(x, 4)
    assert small.shape == (1, 3, 4, 4)
    assert torch.allclose(small[..., 1:3], torch.tensor([2.5, 4.5]), atol=0.05)


def test_a_teacher_sees_the_face_normalised_as_it_learnt_it(monkeypatch):
    """Pictures of 0.5 are zeros to EfficientNet-Lite2, and something else to ResNet-18."""
    own, theirs = BACKBONES["resnet18"], BACKBONES["tf_efficientnet_lite2"]
    student, network = build(own.name), build(theirs.name)
    teacher = Teacher([Member(network, theirs, 64)], student, own)
    seen: list[torch.Tensor] = []
    network.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    mean, std = (torch.tensor(v)[:, None, None] for v in (own.mean, own.std))
    x = ((0.5 - mean) / std).expand(2, 3, 64, 64)
    teacher(x, student(x).flatten())
    assert torch.allclose(seen[0], torch.zeros(2, 3, 64, 64), atol=1e-6)


def test_several_teachers_answer_with_the_mean_of_their_calibrated_logits():
    own, other = BACKBONES["mobilenetv2_100"], BACKBONES["resnet18"]
    student, x = build(own.name).eval(), torch.randn(4, 3, 64, 64)
    first, second = random_network(own.name), random_network(other.name)
    read = Calibration(2.0, 0.0, 1.0, offset=0.5)
    teacher = Teacher([Member(first, own, 64), Member(second, other, 32, read)], student, own, 0.0)
    with torch.no_grad():
        wanted = (first(x) + (second(shrink(x, 32)) + 0.5) / 2).flatten() / 2
    assert torch.allclose(teacher.answer(x), wanted, atol=0.03)  # in bfloat16 where it is faster
    assert teacher.size == 64
    assert teacher.networks == [first, second]
    assert not list(teacher.parameters())  # without hints there are no maps to learn


def test_a_model_and_a_run_teach_together(tmp_path, pool, monkeypatch):
    """By the command line: a folder with a card, and one with a finished run."""
    monkeypatch.setattr(finetune, "load_recipe", lambda name: TINY)
    monkeypatch.setattr(finetune, "open_detector", lambda name: Whole())
    monkeypatch.chdir(tmp_path)
    made = dataclasses.replace(card("light", size=32), training={"command": "made"})
    checkpoints.save(Path("light"), random_network("mobilenetv2_100"), made)
    command = ["tiny", "--data", str(pool), "--init"]
    finetune.main([*command, "random", "--run", "before"])
    command.append("light/model.safetensors")
    finetune.main([*command, "--run", "run", "--teacher", "light", "before"])
    about = json.loads(Path("run/run.json").read_text())
    assert about["command"].endswith("--init light/model.safetensors --teacher light before")
    assert about["after"] == {"command": "made"}
    assert len(read_state(Path("run"), torch.device("cpu"))["identity"]["teacher"].split()) == 2
    with pytest.raises(SystemExit, match="no finished run and no model"):
        finetune.main([*command, "--run", "other", "--teacher", "nothing"])


# -- speed ----------------------------------------------------------------------------------------


BF16, AVX2 = {"avx512_bf16": True}, {"avx512_bf16": False, "avx2": True}


@pytest.mark.parametrize(
    ("has", "backbone", "wanted", "bf16"),
    [
        (BF16, "resnet18", "auto", True),
        (BF16, "vit_small_patch14_dinov2", "auto", True),
        (BF16, "tf_efficientnet_lite2", "auto", False),  # measured: slower in bfloat16
        (AVX2, "resnet18", "auto", False),  # emulated
        (AVX2, "resnet18", "bf16", True),
        (BF16, "resnet18", "fp32", False),
    ],
)
def test_a_step_is_computed_in_the_faster_precision(monkeypatch, has, backbone, wanted, bf16):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    with autocast(wanted, torch.device("cpu"), BACKBONES[backbone]):
        made = torch.ones(2, 2) @ torch.ones(2, 2)
    assert made.dtype == (torch.bfloat16 if bf16 else torch.float32)


def test_a_training_process_keeps_the_memory_it_frees():
    """A block asked for a second time has no page that must be mapped anew."""
    script = """
import json, resource
from train.training.memory import keep_freed
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(1 << 28)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(json.dumps([faults(), faults(), keep_freed(), faults(), faults()]))
"""
    root = Path(__file__).resolve().parents[2]
    said = subprocess.check_output([sys.executable, "-c", script], cwd=root)
    _, before, told, _, after = json.loads(said)
    assert told == (platform.libc_ver()[0] == "glibc")  # no other C library can be told
    assert before > 1000
    assert (after < 10) == told


# -- several processes ----------------------------------------------------------------------------


RECIPE = """
from train.training.recipes import Phase, Recipe
RECIPE = Recipe(
    backbone="convnext_tiny", size=32, samples=24, head_samples=24, batch=8,
    phases=(Phase("last stage", 1, 1, 1e-3), Phase("all layers", 5, 2, 1e-3)),
)
"""  # a network without batch normalisation, by which halves of a batch would differ from the whole


def read_log(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "log.csv").read_text().splitlines()))


@pytest.mark.slow
def test_two_processes_learn_as_one(pool, tmp_path, monkeypatch):
    """Each computes half of every batch; losses and weights are those of one process."""
    monkeypatch.chdir(tmp_path)
    boxes = {record.sha256: [10, 10, 40, 40] for record in read_manifest(pool)}
    Path("runs").mkdir()
    Path("runs/faces-haar.json").write_text(json.dumps(boxes))  # noise that holds no faces
    Path("tiny.py").write_text(RECIPE)
    arguments = ["tiny.py", "--data", str(pool), "--init", "random", "--detector", "haar",
                 "--device", "cpu", "--precision", "fp32"]  # fmt: skip
    finetune.main([*arguments, "--run", "one"])
    root = str(Path(__file__).resolve().parents[2])
    subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
         "--main_process_port", "0", "-m", "train", "finetune", *arguments, "--run", "two"],
        check=True, timeout=600, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root},
    )  # fmt: skip
    assert json.loads(Path("two/run.json").read_text())["processes"] == 2
    one, two = (read_log(Path(name)) for name in ("one", "two"))
    assert [row["phase"] for row in one] == ["head", "last stage", "all layers", "all layers"]
    for alone, shared in zip(one, two, strict=True):
        assert shared["phase"] == alone["phase"]
        assert float(shared["loss"]) == pytest.approx(float(alone["loss"]), rel=1e-4)
    kept, other = (
        safetensors.torch.load_file(f"{name}/best.safetensors") for name in ("one", "two")
    )
    for name in kept:
        assert torch.allclose(kept[name], other[name], atol=1e-4), name
