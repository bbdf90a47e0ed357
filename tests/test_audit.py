"""The audit of packages, with a stand-in for the program that asks for advisories."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

AUDIT = Path(__file__).parents[1] / ".ci" / "audit"
GOOD = {"name": "good", "version": "1.0", "vulns": []}
HOLED = {"name": "holed", "version": "2.0", "vulns": [{"id": "PYSEC-1"}, {"id": "PYSEC-2"}]}
SKIPPED = {"name": "unknown", "skip_reason": "not on the index"}

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "timeout", "mktemp"))), reason="needs a Unix shell"
)


def audit(folder: Path, report: str | None) -> tuple[int, list[str]]:
    """The exit status and the lines, where pip-audit writes this report, or none and fails."""
    programs = folder / "bin"
    programs.mkdir()
    (folder / "report.json").write_text(report or "")
    uv = programs / "uv"
    uv.write_text(
        "#!/usr/bin/env bash\n"
        'while [ "$1" != --output ]; do shift; done\n'
        f'{f"cat {folder}/report.json" if report is not None else "false"} > "$2"\n'
    )
    uv.chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    done = subprocess.run(
        [str(AUDIT)],
        env=os.environ | {"VENV": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def test_a_known_hole_fails_and_is_named(tmp_path: Path) -> None:
    code, lines = audit(tmp_path, json.dumps({"dependencies": [GOOD, HOLED, SKIPPED]}))
    assert code == 1
    assert lines == [
        "audit: 2 of 3 packages were checked; 2 holes are known.",
        "audit: holed 2.0 PYSEC-1",
        "audit: holed 2.0 PYSEC-2",
    ]


def test_packages_without_holes_pass(tmp_path: Path) -> None:
    assert audit(tmp_path, json.dumps({"dependencies": [GOOD]})) == (
        0,
        ["audit: 1 of 1 packages were checked; 0 holes are known."],
    )


@pytest.mark.parametrize("report", [None, "", json.dumps({"dependencies": [SKIPPED]})])
def test_where_nobody_can_be_asked_one_sentence_says_so(tmp_path: Path, report: str | None) -> None:
    assert audit(tmp_path, report) == (
        0,
        ["audit: the advisory service cannot be reached, so no package was checked."],
    )
