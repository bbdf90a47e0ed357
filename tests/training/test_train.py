"""Training: what is drawn, what is changed, and that a killed run loses nothing."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import re
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator, ScalarEvent

from fakeface.faces import Haar
from fakeface.images import decoder as images
from fakeface.models import checkpoints
from fakeface.models.backbones import build
from fakeface.stability import reencode
from fakeface.types import Box, CheckpointMismatch
from tests.pools import TINY, make_run, record, row, tiny_pool, write_manifest
from train.augment.degrade import Augmentation, augment, jitter
from train.datasets.epochs import draw
from train.datasets.records import share
from train.evaluation import out_of_distribution as reference
from train.training import loop
from train.training.initialise import initialise
from train.training.recipes import Phase, runs
from train.training.run import Run
from train.training.state import RunMismatch
from train.training.step import step

# -- what is drawn --------------------------------------------------------------------------------


def test_an_epoch_is_balanced():
    photos = [record(f"p{i}", source="many" if i < 900 else "few") for i in range(1000)]
    fakes = [record(f"f{i}", label=1, kind="generated") for i in range(300)]
    swaps = [record(f"w{i}", label=1, kind="swap", source="w") for i in range(400)]
    drawn = draw(photos + fakes + swaps, 20_000, 0.2, (0,))
    kinds = Counter(r.kind for r in drawn)
    assert kinds["photo"] == pytest.approx(10_000, rel=0.03)
    assert kinds["swap"] == pytest.approx(2_000, rel=0.08)
    # 900 and 100 pictures: three to one and not nine to one.
    sources = Counter(r.source for r in drawn if r.kind == "photo")
    assert sources["many"] / sources["few"] == pytest.approx(3, rel=0.08)


def test_a_draw_depends_on_its_seed_alone():
    records = [record(f"p{i}", label=i % 2) for i in range(50)]
    assert draw(records, 30, 0.1, (1, 2)) == draw(records, 30, 0.1, (1, 2))
    assert draw(records, 30, 0.1, (1, 2)) != draw(records, 30, 0.1, (1, 3))


# -- what is changed ------------------------------------------------------------------------------


def crop() -> np.ndarray:
    ramp = np.linspace(0, 255, 90).astype(np.uint8)
    return np.stack(
        [np.tile(ramp, (90, 1)), np.tile(ramp[:, None], (1, 90)), np.full((90, 90), 90)], 2
    ).astype(np.uint8)


def test_the_same_seed_makes_the_same_picture_and_another_does_not():
    how = Augmentation()
    first, again, other = (augment(crop(), how, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_every_change_happens_and_gives_a_square_picture():
    how = Augmentation(clean=0.0)
    sides = set()
    for seed in range(120):
        out = augment(crop(), how, np.random.default_rng(seed))
        assert out.dtype == np.uint8
        assert out.shape[0] == out.shape[1] and out.shape[2] == 3
        sides.add(out.shape[0])
    assert min(sides) < 60
    assert max(sides) > 100


def test_clean_means_untouched_but_for_the_flip():
    how = Augmentation(clean=1.0, turn=(0.0, 0.0), colour=0.0)
    seen = {augment(crop(), how, np.random.default_rng(s)).tobytes() for s in range(20)}
    assert seen == {crop().tobytes(), np.ascontiguousarray(crop()[:, ::-1]).tobytes()}


def test_reencoding_keeps_the_colours_in_their_places():
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 200
    out = reencode(red, 90)
    assert np.abs(out.astype(int) - red).max() < 6


def test_a_jittered_box_stays_about_its_face():
    box, how = Box(50, 60, 80, 100), Augmentation()
    boxes = [jitter(box, how, np.random.default_rng(s)) for s in range(200)]
    assert all(abs(b.x + b.w / 2 - 90) <= 10 and abs(b.y + b.h / 2 - 110) <= 10 for b in boxes)
    widths = [b.w for b in boxes]
    assert min(widths) < 70 and max(widths) > 92 and min(widths) >= 63 and max(widths) <= 101


# -- a whole run ----------------------------------------------------------------------------------


@pytest.fixture
def pool(tmp_path) -> Path:
    return tiny_pool(tmp_path)


class Killed(BaseException):
    """Stands for a kill: nothing in the run catches it."""


def run(pool: Path, folder: Path, kill_at: int | None = None, init: Path | None = None) -> None:
    """One run of `TINY` that saves after each step; killed after so many of them."""
    training = make_run(pool, folder)
    if init:
        initialise(training.model, TINY.backbone, str(init))
    steps = 0

    def count(*args):
        nonlocal steps
        if steps == kill_at:
            raise Killed
        steps += 1
        return step(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "step", count)
        loop.fit(training)


@pytest.mark.slow
def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(pool, tmp_path):
    run(pool, tmp_path / "whole")
    wanted = safetensors.torch.load_file(tmp_path / "whole" / "best.safetensors")
    # In the middle of an epoch, at its end, and in the last phase.
    for kill_at in (1, 2, 3):  # a resumed run counts from 0 again
        with pytest.raises(Killed):
            run(pool, tmp_path / "killed", kill_at)
        assert not (tmp_path / "killed" / "best.safetensors").exists()
    run(pool, tmp_path / "killed")
    found = safetensors.torch.load_file(tmp_path / "killed" / "best.safetensors")
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert torch.equal(found[name], wanted[name]), name


def halved(pool: Path) -> Path:
    """The pool without its first picture, as another manifest."""
    lines = pool.read_text().splitlines()
    other = pool.with_name("halved.csv")
    other.write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    return other


def regrouped(pool: Path) -> Path:
    """The same pictures, of another family and in another group."""
    other = pool.with_name("regrouped.csv")
    other.write_text(pool.read_text().replace(",f,0,", ",g,0,"))
    assert other.read_text() != pool.read_text()
    return other


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda run, pool: dataclasses.replace(run.recipe, seed=3), "the recipe (seed was 0 and"),
        (lambda run, pool: halved(pool), "the data and the faces; give another folder with --run"),
        (lambda run, pool: regrouped(pool), "the data; give another folder"),
        (lambda run, pool: 0.5, "the initial weights; give another folder"),
    ],
)
def test_a_run_does_not_go_on_as_another(pool, tmp_path, change, said):
    """0.8.0 went on with whatever it found, and the card then told a false origin."""
    first = make_run(pool, tmp_path / "run")
    first.resume()
    loop.fit_head(first)
    first.save()
    make_run(pool, tmp_path / "run").resume()  # the same may go on
    new = change(first, pool)
    if isinstance(new, Path):
        second = make_run(new, tmp_path / "run")
    elif isinstance(new, float):
        second = make_run(pool, tmp_path / "run")
        with torch.no_grad():
            second.model.conv_stem.weight[0, 0, 0, 0] += new
    else:
        second = make_run(pool, tmp_path / "run", new)
    for attempt in (loop.fit, Run.is_finished):
        with pytest.raises(RunMismatch, match=re.escape(said)):
            attempt(second)


def test_the_state_of_an_older_release_is_refused(pool, tmp_path):
    training = make_run(pool, tmp_path / "run")
    training.resume()
    loop.fit_head(training)
    training.save()
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    del state["identity"]
    torch.save(state, tmp_path / "run" / "state.pt")
    with pytest.raises(RunMismatch, match="of an older release"):
        loop.fit(make_run(pool, tmp_path / "run"))


def test_a_run_knows_that_it_is_finished(pool, tmp_path):
    training = make_run(pool, tmp_path / "run", dataclasses.replace(TINY, phases=()))
    assert not training.is_finished()
    loop.fit(training)
    assert make_run(pool, tmp_path / "run", training.recipe).is_finished()


@pytest.mark.slow
def test_a_run_learns_what_there_is_to_learn(pool, tmp_path):
    phases = (Phase("last stage", 1, 1, 1e-3), Phase("all layers", 5, 4, 3e-3))
    recipe = dataclasses.replace(TINY, samples=96, phases=phases)
    loop.fit(make_run(pool, tmp_path / "run", recipe))
    with (tmp_path / "run" / "log.csv").open() as file:
        log = list(csv.DictReader(file))
    assert [r["phase"] for r in log] == ["head", "last stage"] + ["all layers"] * 4
    assert float(log[-1]["val_auc"]) > 0.9


def test_a_run_has_one_file_for_tensorboard_however_many_lines_it_notes(pool, tmp_path):
    training = make_run(pool, tmp_path / "run")
    training.at.phase = len(TINY.phases) + 1  # nothing is left to do
    for epoch in range(3):
        training.journal.note(phase="head", epoch=epoch, val_auc=0.5 + epoch / 10)
        (path,) = (tmp_path / "run").glob("events.*")
        assert {s.step: s.value for s in scalars(path)} == pytest.approx(
            {i + 1: 0.5 + i / 10 for i in range(epoch + 1)}
        ), "a kill would lose a line"
    loop.fit(training)
    assert training.journal.board is None
    assert list((tmp_path / "run").glob("events.*")) == [path]


def scalars(path: Path) -> list[ScalarEvent]:
    """What TensorBoard reads of the AUC on val."""
    events = EventAccumulator(str(path)).Reload()
    return events.Scalars("val_auc")


def test_initial_weights_fill_what_they_hold_and_leave_the_head_at_zero(tmp_path):
    network = build("resnet18")
    layer = torch.ones_like(network.layer1[0].conv1.weight)
    safetensors.torch.save_file({"layer1.0.conv1.weight": layer}, tmp_path / "w.safetensors")
    initialise(network, "resnet18", str(tmp_path / "w.safetensors"))
    assert torch.equal(network.layer1[0].conv1.weight, layer)
    assert not network.fc.weight.any()


def test_a_run_that_starts_from_another_keeps_its_head(pool, tmp_path):
    run(pool, tmp_path / "first")
    before = tmp_path / "first" / "best.safetensors"
    network = build(TINY.backbone)
    initialise(network, TINY.backbone, str(before))
    assert torch.equal(
        network.classifier.weight, safetensors.torch.load_file(before)["classifier.weight"]
    )
    run(pool, tmp_path / "second", init=before)
    with (tmp_path / "second" / "log.csv").open() as file:
        assert next(csv.DictReader(file))["phase"] == "initial weights"


def test_position_embeddings_are_resampled_to_the_size_of_the_network(tmp_path):
    """DINOv2 was trained on 37 by 37 patches; here there are 16 by 16."""
    network = build("vit_small_patch14_dinov2")
    ramp = torch.linspace(-1, 1, 37)[:, None].expand(37, 37).reshape(1, 37 * 37, 1)
    given = torch.cat([torch.full((1, 1, 384), 7.0), ramp.expand(-1, -1, 384)], 1)
    safetensors.torch.save_file({"pos_embed": given.contiguous()}, tmp_path / "w.safetensors")
    initialise(network, "vit_small_patch14_dinov2", str(tmp_path / "w.safetensors"))
    found = network.pos_embed[0]
    assert torch.allclose(found[0], torch.tensor(7.0)), "the class token has no place"
    grid = found[1:, 0].reshape(16, 16)
    assert torch.allclose(grid[:, 0], torch.linspace(-1, 1, 16), atol=0.06)
    assert torch.allclose(grid, grid[:, :1].expand(16, 16), atol=1e-4)


def test_initial_weights_of_another_backbone_are_refused(tmp_path):
    safetensors.torch.save_file({"stages.0.x": torch.ones(1)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointMismatch, match="does not fit resnet18"):
        initialise(build("resnet18"), "resnet18", str(tmp_path / "w.safetensors"))


def test_every_recipe_can_be_loaded_and_names_stages_that_exist():
    assert {"pool_resnet18", "pool_resnet18_placed", "resnet18_kaggle140k"} <= set(runs())
    for recipe in runs().values():
        stages = [phase.stages for phase in recipe.phases]
        assert stages == sorted(stages) and stages[-1] <= 5


# -- the reference ------------------------------------------------------------------------------


def test_a_reference_is_of_train_and_its_distances_are_of_photographs_of_val(
    untrained, portrait, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    photo = Image.open(BytesIO(portrait)).convert("RGB")
    groups = [f"g{i}" for i in range(40)]
    held = [g for g in groups if share(f"choice {g}") >= 0.5]  # in the calibration part
    other = next(g for g in groups if g not in held)
    rows = []
    splits = ("train", "train", "train", "train", "train", "val", "val", "val", "val", "test")
    own_groups = ["", "", "", "", "", *held[:3], other, ""]
    for i, (split, group) in enumerate(zip(splits, own_groups)):
        path = tmp_path / f"{i}.png"
        photo.crop((4 * i, 0, photo.width - 3 * i, photo.height - 9 * i)).save(path)
        label = "fake" if i in (1, 3, 7) else "real"
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append(row(file=path.name, label=label, split=split, sha256=sha256, group=group))
    manifest = write_manifest(tmp_path, rows)
    reference.main(["untrained", "--data", str(manifest), "--detector", "haar", "--workers", "1"])
    model = checkpoints.load("untrained", device="cpu")
    own = model.reference
    assert own is not None
    assert own.directions.shape == (112, 1), "five faces do not span more"
    styles = []
    for i in range(7):
        image = images.decode((tmp_path / f"{i}.png").read_bytes())
        (face,) = Haar().detect(image)
        styles.append(model.forward(model.tensor(image, [face.box]))[1][0])
    assert own.mean == pytest.approx(np.mean(styles[:5], 0), abs=1e-4)
    wanted = sorted(own.distance(np.stack(styles[5:])))
    assert own.distances == pytest.approx(wanted, rel=1e-2)
