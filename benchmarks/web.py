"""How fast the page in the browser is, and how near to Python: `python -m benchmarks.web`.

Runs the engine of an assembled page (`make web`) in headless Chromium. With `--data` it also compares
it with the Python engine, face by face, on pictures of a data set.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser

import fakeface
from benchmarks.page import megapixel_photo
from fakeface.faces import MTCNN
from fakeface.report.html import STYLES
from fakeface.types import ImageError
from tests.ui.serve import chromium
from tests.web.browser import engine, judge, served
from train.datasets.sources import add_data_arguments, read_data

STEPS = ("decode", "detect", "judge")


def time_photo(browser: Browser, folder: Path, runs: int, *, isolated: bool) -> None:
    """Print the medians for a photo of one megapixel with one face, after two that do not count."""
    data = megapixel_photo()
    with served(folder, isolated=isolated) as site, engine(browser, site) as page:
        start = time.perf_counter()
        first = judge(page, data)["analysis"]
        first_ms = 1000 * (time.perf_counter() - start)
        found = [judge(page, data)["analysis"]["ms"] for _ in range(runs + 1)][1:]
    medians = {step: statistics.median(ms[step] for ms in found) for step in STEPS}
    total = statistics.median(sum(ms[step] for step in STEPS) for ms in found)
    parts = ", ".join(f"{step} {ms:.0f}" for step, ms in medians.items())
    threads = first["threads"]
    print(f"{threads} thread{'s' if threads > 1 else ''}: {total:.0f} ms a photo ({parts}); "
          f"the first one, with loading, {first_ms:.0f} ms")  # fmt: skip


def compare(browser: Browser, folder: Path, paths: list[Path]) -> None:
    """Print how far p(fake) and verdicts are from those of the Python engine."""
    (model, detector) = fakeface.load(fakeface.default()), MTCNN()
    differences, verdicts, pictures, others = [], 0, 0, []
    with served(folder) as site, engine(browser, site) as page:
        for path in paths:
            try:
                picture = fakeface.open_picture(path)
            except ImageError:
                continue
            wanted = fakeface.analyse(
                picture, models=[model], detector=detector, stability="near", provenance=False
            )
            found = judge(page, picture.data)["analysis"]["faces"]
            pictures += 1
            if len(found) != len(wanted.faces):
                others.append(path.name)
                continue
            for face, report in zip(found, wanted.faces):
                score = report.scores[0]
                differences.append(abs(face["p"] - score.p_fake))
                verdicts += face["verdict"] != STYLES[score.verdict]
    d = np.array(differences)
    print(f"{pictures} pictures, {len(d)} faces; other faces were found in {len(others)}: {others}")
    print(f"|dp| mean {d.mean():.4f}, 99 % {np.quantile(d, 0.99):.4f}, most {d.max():.4f}; "
          f"over 0.02: {(d > 0.02).sum()}; other verdicts: {verdicts}")  # fmt: skip


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How fast the page in the browser is.")
    parser.add_argument("--folder", type=Path, default=Path("build/web"))
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--pictures", type=int, default=200, help="of test, with --data")
    parser.add_argument("--seed", type=int, default=0)
    add_data_arguments(parser)
    options = parser.parse_args()
    with chromium() as browser:
        print(f"Chromium {browser.version}, {os.cpu_count()} cores, 1 megapixel, one face")
        for isolated in (False, True):
            time_photo(browser, options.folder, options.runs, isolated=isolated)
        if options.data:
            test = [record.path for record in read_data(options) if record.split == "test"]
            picked = random.Random(options.seed).sample(sorted(test), options.pictures)  # noqa: S311
            compare(browser, options.folder, picked)
    return 0


if __name__ == "__main__":
    sys.exit(main())
