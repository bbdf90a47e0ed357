"""What is told of each model: all of its failures that count, and nothing that was not measured."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from fakeface.models import evaluation_sets, zoo
from fakeface.models.calibrate import Calibration
from fakeface.models.checkpoints import Card
from tests.conftest import card
from train.datasets import sets


def measured(**metrics: Any) -> Card:
    return dataclasses.replace(card("m"), metrics=metrics)


def counts(**shares: tuple[int, float]) -> dict[str, dict[str, float]]:
    """Results by source, as an evaluation stores them."""
    return {
        name: {"n": n, "value": value, "low": 0.0, "high": 1.0}
        for name, (n, value) in shares.items()
    }


SETS = {
    "val": {"fake_by_source": counts(on_val=(500, 0.0))},
    "test": {
        "real_by_source": counts(soft_scans=(40, 0.2), clean=(40, 0.0), few=(19, 0.9)),
        "fake_by_source": counts(half=(100, 0.5), poor=(20, 0.3), few=(19, 0.0), fair=(50, 0.49)),
    },
    "wild_swaps": {
        "real_by_source": counts(strangers=(300, 0.4)),
        "fake_by_source": counts(inswapper=(143, 0.03)),
    },
}


# The sets -------------------------------------------------------------------------------------


def test_titles_are_said_once() -> None:
    assert tuple(evaluation_sets.TITLES) == tuple(sets.TITLES) == sets.SETS
    assert sets.TITLES["test"] == "test: generated and edited faces"


def test_a_set_is_called_by_its_title_at_the_beginning_of_a_line() -> None:
    assert evaluation_sets.set_title("test", {}) == "Test: generated and edited faces"
    assert evaluation_sets.set_title("pair_140k", {}) == "140k pair: FFHQ against StyleGAN"
    assert evaluation_sets.set_title("swaps", {}).startswith("DFDC: ")
    assert evaluation_sets.set_title("next_year", {}) == "Next year"
    assert evaluation_sets.set_title("test", {"title": "Ours"}) == "Ours"


# The model ------------------------------------------------------------------------------------


def test_a_title_tells_the_auc_where_there_is_one() -> None:
    plain = card("m")
    assert zoo.title(plain) == plain.title
    assert zoo.title(measured(sets={"val": {"auc": {"value": 0.9}}})) == plain.title
    known = measured(sets={"test": {"auc": {"value": 0.97245, "low": 0.9652}}})
    assert zoo.title(known) == f"{plain.title} · test AUC 0.972"
    poor = measured(sets={"test": {"auc": {"value": 0.8}}})
    assert zoo.title(poor) == f"{plain.title} · test AUC 0.800, weak"
    lucky = measured(sets={"test": {"auc": {"value": 0.901, "low": 0.886}}})
    assert zoo.weak(poor) and zoo.weak(lucky)
    assert not zoo.weak(known) and not zoo.weak(plain)


def test_all_that_was_measured_lies_beside_the_card(tmp_path: Path) -> None:
    gist = measured(command="evaluate", sets={"test": {"n_real": 1}})
    assert zoo.make_entry(gist, tmp_path).sources == ()
    (tmp_path / "metrics.json").write_text(json.dumps({"sets": SETS}))
    found = zoo.make_entry(gist, tmp_path)
    assert len(found.sources) == 9 and found.problems == ()


BAD_METRICS = {
    '{"sets": ': "Invalid JSON",
    "[]": "should be an object",
    "null": "should be an object",
    '{"sets": {"test": null}}': "field sets.test",
    '{"sets": {"test": {"auc": {"value": NaN}}}}': "field sets.test.auc.value",
    '{"sets": {"test": {"n_real": -1}}}': "field sets.test.n_real",
    '{"sets": {"test": {"real_by_source": {"a": {"n": 3}}}}}': "real_by_source.a.value",
    '{"plots": "roc.png"}': "field plots",
}


@pytest.mark.parametrize("text", BAD_METRICS)
def test_damaged_measurements_cost_only_themselves(tmp_path: Path, text: str) -> None:
    gist = measured(sets={"test": {"fake_by_source": counts(poor=(20, 0.3))}})
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "metrics.json").write_text(text)
    found = zoo.make_entry(gist, folder)
    (problem,) = found.problems
    assert problem.startswith("m/metrics.json is damaged") and BAD_METRICS[text] in problem
    assert [s.source for s in found.misses] == ["poor"], "the gist of the card is shown"


def test_a_damaged_reference_is_told_and_costs_only_itself(tmp_path: Path) -> None:
    (tmp_path / "reference.safetensors").write_bytes(b"broken")
    (problem,) = zoo.make_entry(card("m"), tmp_path).problems
    assert "reference.safetensors" in problem and "no out-of-distribution score" in problem


def test_sources_are_told_one_by_one_and_those_of_val_are_not() -> None:
    found = zoo.list_sources({"sets": SETS})
    assert found[0] == zoo.Source("soft scans", "Test", "photographs", 40, 0.2)
    assert found[-1] == zoo.Source("inswapper", "Wild swaps", "fakes", 143, 0.03)
    assert len(found) == 9
    assert zoo.list_sources({}) == ()


def test_failures_are_the_worst_sources_of_enough_faces(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps({"sets": SETS}))
    found = zoo.make_entry(measured(), tmp_path)
    assert [s.source for s in found.misses] == ["inswapper", "poor", "fair"]
    assert [s.source for s in found.false_alarms] == ["strangers", "soft scans"]
    assert len(found.sources) == 9
    few = zoo.make_entry(measured(), tmp_path, least=1, most=1)
    assert [s.n for s in (*few.misses, *few.false_alarms)] == [19, 19]


def test_a_model_of_which_nothing_is_known_has_an_entry(tmp_path: Path) -> None:
    found = zoo.make_entry(card("m"), tmp_path)
    assert (found.sources, found.misses, found.false_alarms, found.plots) == ((), (), (), {})
    assert found.operating_points is None
    assert found.facts["bytes"] is found.facts["auc"] is None


def test_no_plot_lies_outside_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    for path in (folder / "plots" / "roc.png", tmp_path / "secret.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    outside = ["../secret.png", str(tmp_path / "secret.png"), "link.png"]
    found = zoo.find_plots(measured(plots=["plots/roc.png", "plots/gone.png", *outside]), folder)
    assert found == {"roc": folder / "plots" / "roc.png"}


@pytest.mark.parametrize(("above", "shipped"), [(0.7, 1), (0.94, 0), (0.1, 2)])
def test_the_dial_stands_at_the_threshold_of_the_model(above: float, shipped: int) -> None:
    curve = {"p_fake": [0.9, 0.7, 0.2], "photographs_flagged": [0, 0.1, 0.5],
             "fakes_caught": [0.2, 0.6, 0.9]}  # fmt: skip
    own = dataclasses.replace(
        measured(sets={"val": {"curve": curve}}), calibration=Calibration(1.0, 0.05, above)
    )
    assert zoo.operating_points(own) == {**curve, "shipped": shipped}
