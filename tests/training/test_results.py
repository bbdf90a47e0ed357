"""The documents say what the stored results say, and the goals are reckoned from them."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from fakeface.models import checkpoints
from tests.conftest import card
from train.evaluation.metrics import wilson
from train.evaluation.store import write_json
from train.reporting import results, tables
from train.reporting.cards import describe_calibration
from train.reporting.cells import make_table
from train.reporting.results import make_documents
from train.reporting.stored import ROOT, Stored, read_stored
from train.reporting.targets import Target, assess


@pytest.mark.parametrize(
    "path", sorted(make_documents(ROOT)), ids=lambda p: str(p.relative_to(ROOT))
)
def test_the_committed_documents_are_what_the_stored_results_give(path):
    assert path.read_text(encoding="utf-8") == make_documents(ROOT)[path], "run `make results`"


def test_a_number_that_changes_changes_the_documents(tmp_path):
    """So the test above cannot pass with a number typed by hand."""
    shutil.copytree(ROOT / "checkpoints", tmp_path / "checkpoints")
    shutil.copy(ROOT / "README.md", tmp_path)
    name = checkpoints.default(tmp_path / "checkpoints")
    path = tmp_path / "checkpoints" / name / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["sets"]["test"]["auc"]["value"] = 0.12345
    write_json(path, metrics)
    changed = make_documents(tmp_path)
    for place in ("README.md", "checkpoints/RESULTS.md", f"checkpoints/{name}/README.md"):
        assert "0.123 (" in changed[tmp_path / place]


def test_a_table():
    assert make_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


# -- the goals ------------------------------------------------------------------------------------


def auc(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def shares(called: float) -> dict[str, float]:
    return {"AI-generated": called, "real": 0.9 - called, "unsure": 0.1}


@pytest.fixture
def made() -> Stored:
    """Two models, the first the default one."""
    tiers = {
        "longest side at most 512 px, JPEG 40": {
            "auc_before": auc(0.98), "auc": auc(0.93), "flips": 0.09, "flips_settled": 0.02,
        },
        "half the size": {
            "auc_before": auc(0.98), "auc": auc(0.97), "flips": 0.04, "flips_settled": 0.03,
        },
    }  # fmt: skip
    good = {
        "sets": {
            "test": {
                "auc": auc(0.985), "ece": 0.031,
                "verdicts_on_fake": shares(0.7),
                "real_by_family": {
                    "x": {"n": 60, "value": 0.05},
                    "y": {"n": 90, "value": 0.07},
                    "z": {"n": 12, "value": 0.12},
                },
            },
            "swaps": {"auc": auc(0.87), "real_by_source": {"dfdc": {"n": 5, "value": 0.9}}},
            "wild_generated": {
                "auc": auc(0.95), "verdicts_on_real": shares(0.06),
            },
        },
        "reencoded": tiers,
    }  # fmt: skip
    other = {"sets": {"test": {"auc": auc(0.94)}}}
    probe = {"title": "probe", "training": {"strength": 1}, "summary": {"auc_mean": 0.99}}
    trained = {
        "title": "Net", "training": {"recipe": {}},
        "summary": {
            "auc_mean": 0.91, "auc_worst": {"family": "flux", "value": 0.7},
            "false_positive_rate_worst": {"family": "lfw", "value": 0.02},
        },
    }  # fmt: skip
    cards = (card("first"), card("second"))
    return Stored(
        cards=tuple(dataclasses.replace(c, title=c.name.title()) for c in cards),
        metrics={"first": good, "second": other},
        pointing={"first": {"auc": auc(0.8), "pointing": {"model": 0.85}}, "second": {}},
        baseline={}, probe={}, runs={}, left_out={"probe": probe, "net": trained},
        ideas={}, ensemble={},
        releases={"0.0.9": {"test_auc": auc(0.99)}, "0.0.10": {"test_auc": auc(0.97)}},
    )  # fmt: skip


def test_each_goal_is_reckoned_from_what_is_stored(made):
    found = {goal.title: goal for goal in assess(made)}

    def said(title: str) -> tuple[float | None, str]:
        return found[title].value, found[title].gap()

    assert said("AUC on test") == (0.985, "met")
    assert said("AUC on test, every model") == (0.94, "**0.015**")
    assert found["AUC on test, every model"].note == "Second"
    assert said("AUC on test, as of release 0.0.10") == (0.985, "met")  # 10 comes after 9
    assert said("AUC on DFDC swaps") == (0.87, "**0.060**")
    assert said("AUC on unseen sources") == (None, "")
    worst = found["photographs of a family of 50 or more called AI-generated"]
    assert (worst.value, worst.gap()) == (0.07, "**2.0 %**")  # z has more, of too few
    assert worst.note == "First; y, n = 90"
    assert said("photographs in the wild called AI-generated") == (0.06, "**2.0 %**")
    assert said("fakes of test called AI-generated") == (0.7, "**15.0 %**")
    assert said("calibration error (ECE) on test") == (0.031, "**0.001**")
    assert found["AUC lost under the hardest re-encoding"].missing == pytest.approx(0.04)
    flips = found["verdicts that flip under re-encoding"]
    assert (flips.value, flips.note) == (0.03, "First; half the size")
    # The probe is no model that is shipped, however good.
    assert said("AUC on a generator left out, mean") == (0.91, "met")
    assert said("AUC on a generator left out, worst") == (0.7, "**0.050**")
    assert said("photographs of a family left out flagged, worst") == (0.02, "met")
    assert said("AUC on self-blended faces") == (0.8, "**0.120**")
    assert said("heatmap points into the blended region") == (0.85, "met")


def test_ideas_stand_beside_the_recipe_without_them(tmp_path):
    def left_out(name: str, flux: float, sd: float, known: float, *changes: str) -> None:
        write_json(
            tmp_path / "results" / "leave_one_group_out" / f"{name}.json",
            {"title": "Net", "command": f"run {name}", "summary": {},
             "training": {"recipe": {}, "changes": list(changes)},
             "families": {
                 "flux": {"kind": "fakes", "auc": auc(flux), "known": known},
                 "sd": {"kind": "fakes", "auc": auc(sd), "known": known},
                 "lfw": {"kind": "photographs", "false_positive_rate": wilson(1, 9),
                         "known": known}}},
        )  # fmt: skip

    left_out("net", 0.6, 0.8, 0.9)
    left_out("net+mixup=0.3", 0.7, 0.8, 0.95, "mixup=0.3")
    found = read_stored(tmp_path)
    assert (list(found.left_out), list(found.ideas)) == (["net"], ["net+mixup=0.3"])
    rows = [line.split(" | ") for line in tables.idea_table(found).splitlines() if "0." in line]
    assert [(row[0], *row[-2:]) for row in rows[:2]] == [
        ("| none", "0.700", "0.900 |"),
        ("| `mixup=0.3`", "0.750", "0.950 |"),
    ]
    assert "run net+mixup=0.3" in tables.idea_table(found)


def test_the_cross_dataset_table_keeps_data_sets_apart(made):
    training = {"pictures": 10, "photographs": 4, "families_of_fakes": ["gan"]}
    pair = {"title": "Pair alone", "training": training, "data": "one", "sets": {
        "test": {"auc": auc(0.8)}, "swaps": {"auc": auc(0.6)}}}  # fmt: skip
    many = {**training, "families_of_fakes": ["a", "b", "c", "d"]}
    cards = tuple(dataclasses.replace(c, training=many) for c in made.cards)
    metrics = {name: {**m, "data": "one"} for name, m in made.metrics.items()}
    elsewhere = {**pair, "title": "x", "data": "two", "sets": {"test": {"auc": auc(0.7)}}}
    runs = {"pair": pair, "x": elsewhere}
    text = tables.cross_dataset_table(
        dataclasses.replace(made, cards=cards, metrics=metrics, runs=runs)
    )
    first, second = text.split("Data two:")
    line = "| Pair alone (`pair`) | 4 photographs, 6 fakes (gan) | 0.800 (0.790 to 0.810) | 0.600"
    assert line in first
    assert "| First | 4 photographs, 6 fakes (4 families) | 0.985" in first
    assert "| `x` | 4 photographs, 6 fakes (gan) | 0.700 (0.690 to 0.710) |" in second
    assert "DFDC" in first and "DFDC" not in second


def test_a_goal_that_was_not_measured_is_not_met(made):
    assert Target("x", 0.9, None).gap() == ""
    (line,) = [row for row in tables.target_table(made).splitlines() if "unseen sources" in row]
    assert "| at least 0.990 | not measured |  |" in line


def test_what_a_limit_misses_by():
    assert Target("x", 0.9, 0.85).missing == pytest.approx(0.05)
    assert Target("x", 0.9, 0.95).missing == 0
    assert Target("x", 0.1, 0.15, at_least=False).missing == pytest.approx(0.05)
    assert Target("x", 0.1, 0.05, at_least=False).missing == 0
    assert Target("x", 0.9, 0.9).gap() == "met"


def test_the_default_model_stands_first(tmp_path):
    for name, value in (("a", 0.8), ("b", 0.9)):
        folder = tmp_path / "checkpoints" / name
        metrics = {"sets": {"val": {"auc": {"value": value}}}}
        checkpoints.write_card(
            folder, dataclasses.replace(card(name), metrics=metrics, sha256="0" * 64)
        )
    assert [c.name for c in read_stored(tmp_path).cards] == ["b", "a"]
    assert read_stored(tmp_path).probe == {}


def test_a_card_tells_which_part_fitted_what(made):
    limits = {
        "part": "calibration", "n_real": 400, "n_fake": 300, "photographs_flagged": 0.02,
        "photographs_of_a_family_flagged": 0.04, "fakes_called_real": 0.05,
        "false_positive_rate": wilson(8, 400),
        "false_positive_rate_by_family": {"all_age_faces": wilson(2, 60)},
    }  # fmt: skip
    new = dataclasses.replace(made.cards[0], training={"calibration": limits})
    text = describe_calibration(new)
    assert "a part of the validation split that nothing else was chosen by" in text
    assert "(400 photographs, 300 fakes)" in text
    assert "- all age faces: 3.3 % (1 to 11) of 60" in text
    old = {"photographs_flagged": 0.02, "fakes_called_real": 0.05}
    text = describe_calibration(dataclasses.replace(new, training={"calibration": old}))
    assert "fitted on\nthe validation split" in text


def test_a_release_is_remembered(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "checkpoints", tmp_path / "checkpoints")
    shutil.copy(ROOT / "README.md", tmp_path)
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(results, "__version__", "9.9.9")
    results.main(["--remember"])
    kept = read_stored(tmp_path).releases["9.9.9"]
    name = checkpoints.default(tmp_path / "checkpoints")
    best = checkpoints.read_card(tmp_path / "checkpoints" / name)
    assert kept["model"] == best.name
    assert kept["test_auc"]["value"] == pytest.approx(
        best.metrics["sets"]["test"]["auc"]["value"], abs=1e-5
    )
    assert Path(tmp_path / "checkpoints" / "RESULTS.md").exists()
