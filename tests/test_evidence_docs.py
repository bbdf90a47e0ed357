"""Every statement of docs/evidence.md is exercised by the tests that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markupsafe import escape

from fakeface.evidence import NOT_LOOKED_FOR
from fakeface.evidence.fields import MAX_FIELDS, MAX_PARTS, MAX_TEXT, MAX_TOTAL
from fakeface.evidence.stealth import MAX_PIXELS
from fakeface.report import html
from fakeface.types import Finding

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
STATEMENTS = re.findall(r"(?ms)^- .*?(?=^- |^\n|^#|\Z)", PAGE)
TESTS = {
    name
    for path in Path(__file__).parent.rglob("test_*.py")
    for name in re.findall(r"(?m)^def (test_\w+)", path.read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_every_statement_names_tests_that_there_are(statement):
    named = re.findall(r"`(test_\w+)`", statement)
    assert named and statement.rstrip().endswith(")"), "a statement without a test"
    assert set(named) <= TESTS


def test_what_is_not_looked_for_is_said_in_the_same_words():
    assert NOT_LOOKED_FOR in PAGE
    assert NOT_LOOKED_FOR in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


def test_the_limits_are_those_of_the_code():
    words = " ".join(PAGE.split())
    for limit in (
        f"more than {MAX_PARTS:,} parts",
        f"{MAX_TEXT >> 20} MiB a text",
        f"{MAX_TOTAL >> 20} MiB in all",
        f"{MAX_FIELDS} fields",
        f"{MAX_PIXELS // 10**6} megapixels",
    ):
        assert limit in words


def test_the_report_says_what_is_not_looked_for_and_what_was_not_checked():
    unchecked = Finding("c2pa", "T", "D.", "unknown", "unsigned", checked="not_checked")
    part = Finding("c2pa", "T", "D.", "ai", "valid", checked="holds", scope="part")
    panel = html.environment().get_template("parts.html").module.provenance([unchecked, part])
    assert escape(NOT_LOOKED_FOR) in panel
    assert "Not checked" in panel and "Unsigned" not in panel
    assert "about parts of it" in panel
