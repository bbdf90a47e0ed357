"""What a process with bounds costs a healthy photo: `python -m benchmarks.workers`.

Decodes a photo of one megapixel here and in another process by turns, and reads its evidence
likewise. The difference of each pair is taken, since a busy machine slows both alike, and the
median of all pairs is told; beside it the difference of the fastest runs of each way. On a busy
machine, put `chrt --rr 1` before the command, or it measures who else waits for a processor.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from fakeface import __version__
from fakeface.evidence import apart as evidence
from fakeface.evidence import provenance
from fakeface.images import apart, frames


def make_photo(side: int = 1000, seed: int = 0) -> bytes:
    """A JPEG of `side` squared pixels, with about as many bytes as a photograph has."""
    rng = np.random.default_rng(seed)
    rough = rng.normal(128, 40, (side // 8, side // 8, 3)).clip(0, 255).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(rough).resize((side, side), Image.Resampling.BICUBIC))
    grain = rng.normal(0, 6, (side, side, 3))
    file = io.BytesIO()
    Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def clock(work: Callable[[], object]) -> float:
    """Milliseconds of wall time."""
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def compare(
    here: Callable[[], object], there: Callable[[], object], pairs: int
) -> tuple[float, float, float]:
    """Milliseconds here (median), and what the other process adds: by pairs, and at the fastest."""
    times = np.empty((pairs, 2))
    for number in range(-3, pairs):  # the first three warm both ways up
        order = ((0, here), (1, there)) if number % 2 else ((1, there), (0, here))
        for column, work in order:
            times[number, column] = clock(work)
    added = np.median(times[:, 1] - times[:, 0])
    return float(np.median(times[:, 0])), float(added), float(np.diff(times.min(axis=0))[0])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=300)
    options = parser.parse_args()
    data = make_photo()
    print(
        f"fakeface {__version__}, {os.cpu_count()} cores, {platform.machine()}; a JPEG of "
        f"{len(data) / 2**20:.2f} MiB, {options.pairs} pairs, milliseconds of wall time"
    )
    for name, here, there in (
        ("decoding", lambda: frames.decode_frame(data), lambda: apart.decode_frame(data)),
        ("evidence", lambda: provenance.find(data), lambda: evidence.read_evidence(data)),
    ):
        median, added, fastest = compare(here, there, options.pairs)
        print(f"{name}: {median:.1f} here; apart {added:+.1f} ({fastest:+.1f} at the fastest)")


if __name__ == "__main__":
    main()
