"""The tab Models: what the cards hold, in the field's terms; cards may come from anywhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fakeface.models import checkpoints, zoo
from fakeface.page.installed import list_installed
from fakeface.page.models import render_models
from tests.page.helpers import EVIL

CURVE = {
    "p_fake": [1.0, 0.7, 0.0],
    "photographs_flagged": [0.0, 0.02, 1.0],
    "fakes_caught": [0.1, 0.8, 1.0],
}
SETS = {
    "val": {"curve": CURVE},
    "test": {
        "n_real": 100,
        "n_fake": 50,
        "auc": {"value": 0.95, "low": 0.93, "high": 0.97},
        "verdicts_on_real": {"AI-generated": 0.021, "unsure": 0.1, "real": 0.879},
        "verdicts_on_fake": {"AI-generated": 0.801, "unsure": 0.1, "real": 0.099},
        "real_by_source": {f"photos {EVIL}": {"n": 30, "value": 0.2}},
        "fake_by_source": {f"fakes {EVIL}": {"n": 30, "value": 0.3}},
    },
}


def test_a_card_is_shown_in_standard_terms(untrained: Path) -> None:
    folder = untrained / "untrained"
    card = checkpoints.read_card(folder)
    checkpoints.write_card(folder, dataclasses.replace(card, metrics={"sets": SETS}))
    installed = list_installed()
    html = render_models(installed.entries(), installed.default)
    for term in ("False positive rate", "True positive rate", "Missed fakes", "AUC"):
        assert f'<th scope="col">{term}</th>' in html
        assert f"<dt>{term}</dt>" in html
    assert "<td>2.1 %</td>" in html and "<td>80.1 %</td>" in html and "<td>9.9 %</td>" in html
    assert "Operating points" in html
    assert 'class="points"' in html
    assert "default model" in html
    for old in ("dial", "caught", "flags"):
        assert old not in html.replace("fakes_caught", "").replace("photographs_flagged", "")


def test_every_word_of_a_card_is_text(untrained: Path) -> None:
    folder = untrained / "untrained"
    card = dataclasses.replace(
        checkpoints.read_card(folder),
        title=EVIL,
        licence=EVIL,
        terms=EVIL,
        training={"summary": EVIL},
        metrics={"sets": {**SETS, "other": {"title": EVIL}}, "command": EVIL, "detector": EVIL},
    )
    checkpoints.write_card(folder, card)
    installed = list_installed()
    html = render_models(installed.entries(), installed.default, problems=[EVIL])
    assert "<img src=x" not in html
    assert html.count("&lt;img src=x onerror=alert(1)&gt;") > 8


def test_a_card_without_measurements(untrained: Path) -> None:
    installed = list_installed()
    html = render_models(installed.entries(), installed.default)
    assert "Its card holds no measurements." in html
    assert 'class="points"' not in html
    (untrained / "untrained" / "model.safetensors").unlink()
    html = render_models(installed.entries(), installed.default)
    assert "the weights are missing or damaged" in html


def test_the_default_comes_first(untrained: Path) -> None:
    card = checkpoints.read_card(untrained / "untrained")
    checkpoints.write_card(untrained / "untrained", card)
    other = dataclasses.replace(card, name="aaa")
    (untrained / "aaa").mkdir()
    checkpoints.write_card(untrained / "aaa", other)
    installed = list_installed()
    names = [entry.card.name for entry in installed.entries()]
    assert names[0] == installed.default and sorted(names) == ["aaa", "untrained"]
    assert installed.choices == [(zoo.title(card), card.name) for card in installed.cards]
    assert installed.good == [card.name for card in installed.cards]


def test_no_model_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKEFACE_CHECKPOINTS", str(tmp_path))
    installed = list_installed()
    assert (installed.cards, installed.default, installed.choices) == ((), None, [])
    assert "No model is installed" in installed.problem
    assert "No model is installed" in render_models(installed.entries(), None, installed.problems)
