"""The peer that is fakeface 0.8.0, in whose folder this runs: what `present.py` does, as it was."""

from __future__ import annotations

import sys
from pathlib import Path

from serve import Stages, serve, time_answers  # type: ignore[import-not-found]

import app
import fakeface.scan
from fakeface import analyse, checkpoints, engine, faces, images

NAME = sys.argv[1] if Path("checkpoints", sys.argv[1]).exists() else checkpoints.default()
model, detector = checkpoints.load(NAME), faces.open_detector()


def scan(source: str, table: str) -> int:
    """A whole scan into a new table; how many files were judged."""
    Path(table).unlink(missing_ok=True)
    summary = fakeface.scan.scan(
        [Path(source)], fakeface.scan.Table(Path(table)), models=[model], detector=detector
    )
    return summary.read


def scan_by_stages(source: str, table: str) -> dict[str, float]:
    """CPU seconds of a scan by stage."""
    stages = Stages()
    for owner, name, stage in (
        (images, "decode", "decode"),
        (detector, "detect", "detect"),
        (analyse, "variants", "crop"),
        (engine.Model, "tensor", "crop"),
        (engine.Model, "forward", "judge"),
        (fakeface.scan.Table, "append", "write"),
    ):
        stages.watch(owner, name, stage)
    with stages.stage("all else"):
        scan(source, table)
    return stages.seconds


def verdict(photo: str, runs: int) -> list[float]:
    """Milliseconds of each answer of the page's API."""
    return time_answers(lambda upload: app.check(upload, NAME), photo, runs)


def heatmap(photo: str, runs: int) -> list[float]:
    """Milliseconds of each answer of the page, which has a heatmap."""
    return time_answers(lambda upload: app.check_page({"file": upload}, NAME), photo, runs)


serve(
    model=lambda: NAME, scan=scan, scan_by_stages=scan_by_stages, verdict=verdict, heatmap=heatmap
)
