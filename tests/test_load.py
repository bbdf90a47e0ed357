"""A real server with more clients than its queue takes: a short run of `make load`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import load

pytestmark = pytest.mark.slow


def test_accepted_ones_are_answered_and_the_rest_is_told_busy(
    untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "MOST_BUSY", 10.0)  # tests may share the machine with others
    report = tmp_path / "report.md"
    report.write_text("before\n<!-- load: begin --><!-- load: end -->\nafter\n")
    how = ["--clients", "1", "16", "--seconds", "4", "--soak", "4", "--queue", "4"]
    code = load.main([*how, "--report", str(report)])
    text = report.read_text()
    assert code == 0, text
    assert text.startswith("before\n") and text.endswith("after\n")
    rows = [
        [int(cell) for cell in row.split("|")[2:6]] for row in re.findall(r"(?m)^\| \d.*", text)
    ]
    assert len(rows) == 3
    for answered, _, lost, mixed in rows:
        assert answered > 0 and (lost, mixed) == (0, 0)
    assert (rows[0][1], rows[2][1]) == (0, 0) and rows[1][1] > 0, (
        "only the queue of 4 was too short"
    )
    ended = re.search(r"(\d+) were answered, (\d+) told .* stops, 0 lost, 0 mixed up", text)
    assert ended and int(ended[1]) + int(ended[2]) == 8


def test_an_answer_about_another_picture_is_mixed_up() -> None:
    one, other = (load.make_picture(b"\xff\xd8\xff\xd9", n) for n in range(2))
    assert one != other and one[:2] == other[:2] == b"\xff\xd8"
    tally = load.Tally()
    tally.add("mixed", 1.0, "what")
    tally.add("ok", 2.0)
    tally.add("busy", 3.0)
    assert (tally.wrong, tally.seconds, tally.busy_seconds) == (1, [2.0], [3.0])
