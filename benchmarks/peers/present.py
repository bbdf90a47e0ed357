"""The peer that is this version: the scan, the page's own handlers, and the scan by stages."""

from __future__ import annotations

import sys
from pathlib import Path

from serve import Stages, cpu_seconds, serve, time_answers  # type: ignore[import-not-found]

from fakeface import analysis, faces
from fakeface.images import apart
from fakeface.models import checkpoints
from fakeface.models.engine import Model
from fakeface.page import api
from fakeface.page.check import check_photo
from fakeface.scan.pipeline import scan as scan_sources
from fakeface.scan.table import Table

NAME = sys.argv[1]
model, detector = checkpoints.load(NAME), faces.open_detector()


def scan(source: str, table: str, threads: int | None = None) -> int:
    """A whole scan into a new table; how many files were judged."""
    Path(table).unlink(missing_ok=True)
    summary = scan_sources(
        [source], Table(Path(table)), models=[model], detector=detector, workers=threads
    )
    return summary.read


def scan_by_stages(source: str, table: str) -> dict[str, float]:
    """CPU seconds of a scan with one thread, by stage; decoding with its processes'."""
    stages = Stages()
    for owner, name, stage in (
        (apart, "decode_frame", "decode"),
        (detector, "detect", "detect"),
        (analysis, "variants", "crop"),
        (Model, "tensor", "crop"),
        (Model, "forward", "judge"),
        (Table, "append", "write"),
    ):
        stages.watch(owner, name, stage)
    before = cpu_seconds()
    with stages.stage("all else"):
        scan(source, table, 1)
    children = cpu_seconds() - before - sum(stages.seconds.values())
    stages.seconds["decode"] += children
    return stages.seconds


def verdict(photo: str, runs: int) -> list[float]:
    """Milliseconds of each answer of the page's API."""
    return time_answers(lambda upload: api.check(upload, NAME), photo, runs)


def heatmap(photo: str, runs: int) -> list[float]:
    """Milliseconds of each answer of the page, which has a heatmap."""
    return time_answers(lambda upload: check_photo({"file": upload}, NAME), photo, runs)


serve(scan=scan, scan_by_stages=scan_by_stages, verdict=verdict, heatmap=heatmap)
