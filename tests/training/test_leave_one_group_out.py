"""What is known of families that were left out, and of features that were never trained."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from scipy.special import expit

from fakeface.types import Box
from tests.conftest import random_network
from tests.pools import Whole, record, write_manifest
from train.datasets.records import SourceError
from train.datasets.sources import read_manifest
from train.evaluation import leave_one_group_out as lofo
from train.evaluation import linear_probe as probe
from train.evaluation.leave_one_group_out import families, leave_out, split_family, summarise
from train.evaluation.store import read_json, write_json
from train.training import finetune
from train.training.recipes import Phase, Recipe
from train.training.run import Run

# family -> label, kind, and how red its pictures are
FAMILIES = {
    "ffhq": (0, "photo", 0), "lfw": (0, "photo", 0), "sunset": (0, "photo", 150),
    "gan": (1, "generated", 150), "flux": (1, "generated", 140), "face_swap": (1, "swap", 70),
}  # fmt: skip


@pytest.fixture
def pool(tmp_path, monkeypatch) -> Path:
    """Pictures of six families; what is red is a fake, but for sunsets."""
    monkeypatch.chdir(tmp_path)
    for module in (lofo, probe, finetune):
        monkeypatch.setattr(module, "open_detector", lambda name: Whole())
    rng = np.random.default_rng(0)
    rows = []
    for family, (label, kind, red) in FAMILIES.items():
        for i in range(16):
            picture = rng.integers(0, 100, (48, 48, 3), np.uint8)
            picture[..., 0] += red
            name = f"{family}{i}.png"
            Image.fromarray(picture).save(tmp_path / name)
            rows.append(
                {"file": name, "label": ("real", "fake")[label], "kind": kind, "family": family,
                 "split": ("train", "train", "val", "test")[i % 4], "group": name,
                 "source": "clips" if family in ("ffhq", "face_swap") else family,
                 "sha256": hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}
            )  # fmt: skip
    return write_manifest(tmp_path, rows)


def test_families_fakes_first(pool):
    names = [family for _, family in families(read_manifest(pool))]
    assert names == ["face_swap", "flux", "gan", "ffhq", "lfw", "sunset"]


def test_what_is_not_tested_is_not_left_out(pool):
    records = [r for r in read_manifest(pool) if (r.family, r.split) != ("gan", "test")]
    assert (1, "gan") not in families(records)


def redness(pool: Path):
    """A stand-in for training: scores by colour, and notes what it was given."""
    given: list[set[str]] = []

    def train(known, family):
        given.append({r.family for r in known})
        assert {r.split for r in known} == {"train", "val"}
        return lambda records: np.array(
            [np.array(Image.open(r.path))[..., 0].mean() for r in records]
        )

    return train, given


def test_a_family_of_fakes_is_left_out_of_train_and_val(pool):
    train, given = redness(pool)
    found = leave_out(read_manifest(pool), 1, "flux", train)
    assert given == [set(FAMILIES) - {"flux"}]
    assert found["kind"] == "fakes"
    # Redder than the photographs of ffhq and lfw, not than the four sunsets.
    assert found["photographs"] == 12
    assert found["auc"]["value"] == pytest.approx(2 / 3, abs=0.05)
    assert found["true_positive_rate"]["n"] == 4


def test_swaps_stand_against_what_they_were_made_from(pool):
    train, _ = redness(pool)
    found = leave_out(read_manifest(pool), 1, "face_swap", train)
    assert found["kind"] == "swaps"
    assert found["photographs"] == 4  # of source clips alone
    assert found["auc"]["value"] == 1.0


def test_photographs_left_out_are_held_against_the_known_ones_threshold(pool):
    train, given = redness(pool)
    found = leave_out(read_manifest(pool), 0, "sunset", train)
    assert given == [set(FAMILIES) - {"sunset"}]
    assert (found["kind"], found["known"]) == ("photographs", 1.0)
    rate = found["false_positive_rate"]
    assert (rate["value"], rate["n"]) == (1.0, 4)
    # With sunsets among the known ones, the threshold lies higher and flags none of lfw.
    assert leave_out(read_manifest(pool), 0, "lfw", train)["false_positive_rate"]["value"] == 0.0


def test_swaps_of_photographs_that_are_left_out_are_left_out_with_them(pool):
    """Else the network has seen the very clips, with another face, and calls them fakes."""
    train, given = redness(pool)
    leave_out(read_manifest(pool), 0, "ffhq", train)
    assert given == [set(FAMILIES) - {"ffhq", "face_swap"}]


def test_what_shows_a_family_of_photographs_goes_with_it():
    fake = {"label": 1, "kind": "swap", "family": "face_swap"}
    records = [
        record("clip", family="video", source="films", group="g1"),
        record("its swap", source="elsewhere", group="g1", **fake),
        record("swap of its source", source="films", group="g2", **fake),
        record("another swap", source="elsewhere", group="g3", **fake),
        record("generated", label=1, kind="generated", source="films", group="g4"),
        record("portrait", family="portrait", source="films", group="g5"),
    ]
    own, others = split_family(records, 0, "video")
    assert [r.path.name for r in own] == ["clip"]
    assert [r.path.name for r in others] == ["another swap", "generated", "portrait"]
    # The photographs that fakes were made from are no fakes, and stay.
    own, others = split_family(records, 1, "face_swap")
    assert len(own) == 3 and {r.path.name for r in others} == {"clip", "generated", "portrait"}


def test_a_family_that_is_not_tested_is_refused(pool):
    records = [r for r in read_manifest(pool) if (r.family, r.split) != ("gan", "test")]
    with pytest.raises(SourceError, match="gan has no test pictures"):
        leave_out(records, 1, "gan", redness(pool)[0])


def test_mean_and_worst():
    found = summarise(
        {
            "a": {"kind": "fakes", "auc": {"value": 0.9}},
            "b": {"kind": "fakes", "auc": {"value": 0.7}},
            "c": {"kind": "swaps", "auc": {"value": 0.1}},
            "d": {"kind": "photographs", "false_positive_rate": {"value": 0.02}},
            "e": {"kind": "photographs", "false_positive_rate": {"value": 0.08}},
        }
    )
    assert found["auc_mean"] == pytest.approx(0.8)
    assert found["auc_worst"] == {"family": "b", "value": 0.7}
    assert found["false_positive_rate_worst"] == {"family": "e", "value": 0.08}
    assert summarise({}) == {}


@pytest.fixture
def weights(tmp_path) -> Path:
    """Initial weights without a head."""
    state = random_network("mobilenetv2_100").state_dict()
    path = tmp_path / "initial.safetensors"
    kept = {k: v for k, v in state.items() if not k.startswith("classifier")}
    safetensors.torch.save_file(kept, path)
    return path


@pytest.mark.slow
def test_a_probe_goes_on_where_it_stood(pool, weights):
    command = ["--probe", str(weights), "--data", str(pool)]
    lofo.main([*command, "--families", "flux", "lfw"])
    path = Path("results/leave_one_group_out/probe-mobilenetv2_100.json")
    first = read_json(path)
    assert set(first["families"]) == {"flux", "lfw"}
    assert first["command"].endswith(" --data SPEC --families flux lfw")
    assert first["families"]["flux"]["auc"]["value"] > 0.5
    lofo.main([*command, "--families", "sunset"])
    second = read_json(path)
    assert set(second["families"]) == {"flux", "lfw", "sunset"}
    assert second["command"].endswith(" --data SPEC --families flux lfw sunset")
    assert second["families"]["flux"] == first["families"]["flux"]
    assert second["summary"]["false_positive_rate_worst"]["family"] == "sunset"


@pytest.mark.slow
def test_a_probe_is_measured_on_sets(pool, weights):
    probe.main([str(weights), "--data", str(pool), "--sets", "test", "swaps", "--out", "p.json"])
    found = read_json(Path("p.json"))
    assert found["sets"]["test"]["n_fake"] == 8 and found["sets"]["swaps"]["n_fake"] == 4
    assert found["sets"]["test"]["auc"]["value"] > 0.5
    assert found["strength"] in probe.STRENGTHS


def test_features_are_what_the_head_reads(tmp_path):
    """Head times features is the network's own logit, in full precision."""
    weights = tmp_path / "resnet18.safetensors"
    safetensors.torch.save_file(random_network("resnet18").state_dict(), weights)
    own = probe.Probe("resnet18", weights, {})
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    features = torch.from_numpy(own._compute(x))
    assert torch.allclose(own.frozen.head(features), own.frozen.network(x), atol=1e-5)
    assert features.shape == (2, own.frozen.network.num_features)


TINY = Recipe(
    backbone="mobilenetv2_100", size=32, samples=24, head_samples=24, batch=8,
    phases=(Phase("last stage", 1, 1, 1e-3),),
)  # fmt: skip


@pytest.mark.slow
def test_a_recipe_is_trained_without_a_family_and_resumes(pool, monkeypatch):
    monkeypatch.setattr(lofo, "load_recipe", lambda name: TINY)
    command = ["tiny", "--data", str(pool), "--init", "random", "--device", "cpu"]
    lofo.main([*command, "--families", "gan"])
    (folder,) = Path("runs/leave_one_group_out/tiny").glob("gan-*")
    assert (folder / "best.safetensors").exists()
    path = Path("results/leave_one_group_out/tiny.json")
    first = read_json(path)
    assert 0 <= first["families"]["gan"]["auc"]["value"] <= 1
    assert first["training"]["recipe"]["size"] == 32

    # A family that is done is not trained again, nor one whose weights are there; a field that
    # recipes had not yet when it was measured is no reason to.
    before = read_json(path)
    del before["training"]["recipe"]["patch_loss"]
    write_json(path, before)
    monkeypatch.setattr(lofo, "fit", lambda run: pytest.fail("trained again"))
    lofo.main([*command, "--families", "gan"])
    Path("results/leave_one_group_out/tiny.json").unlink()
    lofo.main([*command, "--families", "gan"])
    assert read_json(Path("results/leave_one_group_out/tiny.json")) == first


@pytest.mark.slow
def test_nothing_is_taken_over_from_other_data_or_settings(pool, monkeypatch):
    monkeypatch.setattr(lofo, "load_recipe", lambda name: TINY)
    command = ["tiny", "--data", str(pool), "--init", "random", "--device", "cpu"]
    path = Path("results/leave_one_group_out/tiny.json")
    lofo.main([*command, "--families", "gan"])

    # Fewer photographs of another family: neither the result nor the weights count any more.
    lines = pool.read_text().splitlines(keepends=True)
    pool.write_text("".join(line for line in lines if not line.startswith("lfw0.png")))
    lofo.main([*command, "--families", "flux"])
    assert set(read_json(path)["families"]) == {"flux"}
    lofo.main([*command, "--families", "gan"])
    assert len(list(Path("runs/leave_one_group_out/tiny").glob("gan-*"))) == 2

    # Another way of measuring: the weights count, the numbers do not.
    monkeypatch.setattr(lofo, "SETTINGS", {**lofo.SETTINGS, "false_positives": 0.1})
    monkeypatch.setattr(lofo, "fit", lambda run: pytest.fail("trained again"))
    lofo.main([*command, "--families", "gan"])
    assert set(read_json(path)["families"]) == {"gan"}
    assert read_json(path)["settings"]["false_positives"] == 0.1


@pytest.mark.slow
def test_initial_weights_count_by_their_bytes(pool, weights):
    command = ["--probe", str(weights), "--data", str(pool)]
    path = Path("results/leave_one_group_out/probe-mobilenetv2_100.json")
    lofo.main([*command, "--families", "flux"])
    state = safetensors.torch.load_file(weights)
    safetensors.torch.save_file({k: v * 1.01 for k, v in state.items()}, weights)
    lofo.main([*command, "--families", "lfw"])
    assert set(read_json(path)["families"]) == {"lfw"}


@pytest.mark.slow
def test_an_idea_is_kept_beside_the_recipe(pool, monkeypatch, capsys):
    monkeypatch.setattr(lofo, "load_recipe", lambda name: TINY)
    command = ["tiny", "--data", str(pool), "--init", "random", "--device", "cpu"]
    lofo.main([*command, "--families", "gan", "--set", "mixup=0.3", "seed=2"])
    found = read_json(Path("results/leave_one_group_out/tiny+mixup=0.3+seed=2.json"))
    assert found["training"]["changes"] == ["mixup=0.3", "seed=2"]
    assert found["training"]["recipe"]["mixup"] == 0.3
    assert " --set mixup=0.3 seed=2 " in found["command"]
    with pytest.raises(SystemExit):
        lofo.main([*command, "--set", "mixup"])
    assert "'mixup' sets nothing" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        lofo.main([*command, "--families", "gans"])
    assert "no family gans" in capsys.readouterr().err


@pytest.mark.slow
def test_further_data_are_an_idea_of_their_own(pool, tmp_path, monkeypatch):
    """They are learnt from whatever is left out, and never measured."""
    further = tmp_path / "made" / "manifest.csv"
    further.parent.mkdir()
    Image.fromarray(np.full((48, 48, 3), 200, np.uint8)).save(further.parent / "a.png")
    sha256 = hashlib.sha256((further.parent / "a.png").read_bytes()).hexdigest()
    further.write_text(
        "file,label,split,kind,family,source,group,sha256\n"
        f"a.png,fake,train,generated,made,made,gan1.png,{sha256}\n"
    )
    learnt: list[set[str]] = []

    def run(recipe, records, *others):
        learnt.append({r.family for r in records})
        return Run(recipe, records, *others)

    monkeypatch.setattr(lofo, "load_recipe", lambda name: TINY)
    monkeypatch.setattr(lofo, "Run", run)
    command = ["tiny", "--data", str(pool), "--init", "random", "--device", "cpu"]
    lofo.main([*command, "--families", "gan", "--also", str(further)])
    assert learnt == [{"made", *FAMILIES} - {"gan"}]
    found = read_json(Path("results/leave_one_group_out/tiny+also=made-manifest.csv.json"))
    assert set(found["families"]) == {"gan"}
    assert found["training"]["changes"] == ["also=made/manifest.csv"]
    assert " --also made/manifest.csv --data SPEC" in found["command"]


@pytest.mark.slow
def test_a_run_learns_from_some_sources_alone(pool, monkeypatch):
    monkeypatch.setattr(finetune, "load_recipe", lambda name: TINY)
    command = ["tiny", "--data", str(pool), "--init", "random", "--device", "cpu"]
    finetune.main([*command, "--only", "clips", "--run", "runs/clips"])
    about = read_json(Path("runs/clips/run.json"))
    assert about["families_of_fakes"] == ["face_swap"]
    assert about["pictures"] == 16 and about["photographs"] == 8
    assert about["command"].endswith("--only clips")
    assert Path("runs/clips/best.safetensors").exists()


def test_the_logit_of_a_probe_is_that_of_its_probability(pool, weights):
    records = read_manifest(pool)
    faces = {r.sha256: Box(0, 0, 48, 48) for r in records}
    fitted = probe.Probe("mobilenetv2_100", weights, faces).fit(records[::4], 0.003)
    logits = fitted.logits(records[1::4])
    p_fake = fitted.pipeline.predict_proba(fitted.probe.features(records[1::4]))[:, 1]
    assert expit(logits) == pytest.approx(p_fake)
