"""Every row of docs/security.md and docs/reliability.md names tests that there are."""

from __future__ import annotations

import re

import pytest
from test_evidence_docs import ROOT, TESTS

from fakeface.images.decoder import MAX_BYTES, MAX_PIXELS
from fakeface.workers.process import HEADER, PIXELS

SECURITY = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
RELIABILITY = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def rows_of(table: str) -> list[str]:
    """The rows below the headings of a table."""
    return re.findall(r"(?m)^\| .* \|$", table.partition("| --- | --- | --- |")[2])


ROWS = rows_of(SECURITY) + rows_of(RELIABILITY.partition("## What holds it up")[2])


def test_both_tables_are_found() -> None:
    assert len(rows_of(SECURITY)) > 20 and len(ROWS) > len(rows_of(SECURITY)) + 10


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:50])
def test_every_row_names_tests_that_there_are(row: str) -> None:
    named = set(re.findall(r"`(test_\w+)`", row.rstrip("| ").rpartition("|")[2]))
    assert named and named <= TESTS


def test_the_limits_are_those_of_the_code() -> None:
    for seconds, memory in (HEADER, PIXELS):
        amount = f"{memory >> 20} MiB" if memory < 2**30 else f"{memory >> 30} GiB"
        assert f"{seconds} s and {amount}" in SECURITY
    assert f"more than {MAX_PIXELS // 10**6} megapixels" in SECURITY
    assert f"more than {MAX_BYTES >> 20} MiB" in SECURITY
