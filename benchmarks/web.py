"""How fast the page in the browser is, and how near to Python: `python -m benchmarks.web`.

Runs the engine of an assembled page (`make web`) in headless Chromium. With `--data` it also
compares it with the Python engine, face by face, on pictures of a data set.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
from playwright.sync_api import Browser

import fakeface
from benchmarks.pictures import megapixel_photo
from fakeface.faces import MTCNN
from fakeface.report.html import STYLES
from fakeface.types import Analysis, Picture
from tests.ui.serve import chromium
from tests.ui.static import engine, judge, served
from train.datasets.sources import read_manifest


def time_photo(browser: Browser, folder: Path, runs: int, *, isolated: bool) -> None:
    """Print what a photo of one megapixel with one face takes, warm.

    The time on the clock is the median; the processor's time, of all processes of the browser, is
    the mean, and says what a machine with nothing else to do would need on one core.
    """
    data = megapixel_photo()
    with served(folder, isolated=isolated) as site, engine(browser, site) as page:
        start = time.perf_counter()
        first = judge(page, data)["analysis"]
        first_ms = 1000 * (time.perf_counter() - start)
        judge(page, data)
        before = cpu_ms()
        found = [judge(page, data)["analysis"]["ms"] for _ in range(runs)]
        cpu = (cpu_ms() - before) / runs
    total = statistics.median(sum(ms.values()) for ms in found)
    steps = {step: statistics.median(ms[step] for ms in found) for step in found[0]}
    parts = ", ".join(f"{step} {ms:.0f}" for step, ms in steps.items())
    print(
        f"threads {first['threads']}: {total:.0f} ms ({parts}), {cpu:.0f} ms of CPU; the first "
        f"photo, with loading, {first_ms:.0f} ms"
    )


def cpu_ms() -> float:
    """The processor's time so far of the browser that this process started."""
    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return 1000 * sum(time.user + time.system for time in times)


def compare(browser: Browser, folder: Path, paths: list[Path]) -> None:
    """Print how far p(fake) and verdicts are from those of the Python engine."""
    model, detector = fakeface.load(fakeface.default()), MTCNN()
    rows: list[tuple[float, float, str, str]] = []
    others = []

    def in_python(picture: Picture) -> Analysis:
        return fakeface.analyse(
            picture, models=[model], detector=detector, stability="near", provenance=False
        )

    with (
        served(folder) as site,
        engine(browser, site) as page,
        ThreadPoolExecutor(1) as beside,
    ):
        for path in paths:
            picture = fakeface.open_picture(path)
            waiting = beside.submit(in_python, picture)
            found = judge(page, picture.data)["analysis"]["faces"]
            wanted = waiting.result().faces
            if len(found) != len(wanted):
                others.append(path.name)
                continue
            for face, report in zip(found, wanted):
                score = report.scores[0]
                rows.append((score.p_fake, face["p"], STYLES[score.verdict], face["verdict"]))
    d = np.array([abs(p - q) for p, q, *_ in rows])
    turned = [row for row in rows if row[2] != row[3]]
    print(
        f"{len(paths)} pictures, {len(rows)} faces; other faces were found in {len(others)}\n"
        f"|dp| mean {d.mean():.4f}, 95 % {np.quantile(d, 0.95):.4f}, 99 % "
        f"{np.quantile(d, 0.99):.4f}, most {d.max():.4f}; over 0.02: {(d > 0.02).sum()}\n"
        f"other verdicts: {len(turned)} {turned}, {others}"
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How fast the page in the browser is.")
    parser.add_argument("--folder", type=Path, default=Path("build/web"))
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--pictures", type=int, default=200, help="of test, with --data")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, help="a CSV manifest")
    options = parser.parse_args()
    with chromium() as browser:
        print(f"Chromium {browser.version}, {os.cpu_count()} cores, 1 megapixel, one face")
        for isolated in (False, True):
            time_photo(browser, options.folder, options.runs, isolated=isolated)
        if options.data:
            test = [record.path for record in read_manifest(options.data) if record.split == "test"]
            picked = random.Random(options.seed).sample(sorted(test), options.pictures)  # noqa: S311
            compare(browser, options.folder, picked)
    return 0


if __name__ == "__main__":
    sys.exit(main())
