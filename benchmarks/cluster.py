"""How a scan grows with its actors, on this machine: `python -m benchmarks.cluster FOLDER`.

Starts Ray here for each of several scans of the same pictures: by one actor of one processor, by
two, and so on up to the number of processors. The clock runs from the first rows that are written
to the last, so that the start of the processes does not count. Processor time is that of the actors
with their decoders, and says more than the clock where something else is running; that of this
process, which hands out the files and writes the table, bounds how many actors it can keep busy.
"""

from __future__ import annotations

import argparse
import os
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from fakeface.models import checkpoints
from fakeface.scan import cluster
from fakeface.scan.table import Table


class Clock:
    """Stands for a progress bar: notes files, time and processor time at each step."""

    def __init__(self) -> None:
        self.total: float | None = 0.0
        self.files = 0.0
        self.steps: list[tuple[float, float, float, float]] = []
        self.memory = 0.0

    def __call__(self, total: float) -> Clock:
        self.total = total
        return self

    def update(self, n: float | None = 1) -> None:
        self.files += n or 0
        actors = find_actors()
        trees = [process for actor in actors for process in (actor, *actor.children(True))]
        spent = sum(sum(process.cpu_times()[:2]) for process in trees)
        self.memory = max(process.memory_full_info().uss for process in actors) / 2**20
        self.steps.append((self.files, time.perf_counter(), spent, time.process_time()))

    def close(self) -> None:
        pass

    def tell(self, actors: int) -> str:
        """One line of what was measured."""
        files, seconds, spent, own = (
            last - first for first, last in zip(self.steps[0], self.steps[-1], strict=True)
        )
        return (
            f"{actors}: {files:.0f} files in {seconds:.1f} s, {files / seconds:.2f} a second; "
            f"{spent / files:.3f} processor seconds a file, and here {1000 * own / files:.1f} ms; "
            f"an actor holds {self.memory:.0f} MiB"
        )


def find_actors() -> list[psutil.Process]:
    """The processes of this machine's Ray that hold the models."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended
            if "MapWorker" in " ".join(process.cmdline()):
                found.append(process)
    return found


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="as of `fakeface scan`")
    parser.add_argument("--model", help="default: the best one installed")
    args = parser.parse_args()
    name = args.model or checkpoints.default()
    card = checkpoints.read_card(checkpoints.checkpoints_root() / name)
    processors = len(os.sched_getaffinity(0))
    print(f"{name}, {processors} processors, load {os.getloadavg()[0]:.1f}", flush=True)
    with TemporaryDirectory() as folder:
        for actors in range(1, processors + 1):
            clock = Clock()
            where = cluster.Cluster(actors=actors, cpus=1, device="cpu")
            table = Table(Path(folder) / f"{actors}.csv")
            cluster.scan(args.sources, table, models=[card], cluster=where, progress=clock)
            print(clock.tell(actors), f"load {os.getloadavg()[0]:.1f}", flush=True)


if __name__ == "__main__":
    main()
