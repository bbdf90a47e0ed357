"""What a long scan holds in memory: `python -m benchmarks.memory`.

A folder of many files is scanned by `python -m fakeface scan`: links to a few hundred pictures,
whose bytes are judged once, and among them pictures that are unlike all others, which are decoded
and judged each. While it runs, the memory of the scan and of its processes is read now and then.
Prints a table; ends with a fault where memory grows by more than 5 % after the first tenth.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.load import MOST_GROWTH, make_picture, measure_memory
from benchmarks.pictures import fill

ROOT = Path(__file__).resolve().parents[1]
PARTS = 10  # rows of the table


def fill_with_links(
    folder: Path, count: int, different: int, fresh: int, manifest: Path | None
) -> str:
    """Put many files into a folder, of few kinds.

    Args:
        folder: an empty one.
        count: how many files.
        different: how many pictures the links lead to.
        fresh: every how many-th file is a picture of its own.
        manifest: see `benchmarks.pictures.fill`.

    Returns:
        What they are, in words.
    """
    store = folder / "store"
    store.mkdir()
    words = fill(store, different, manifest)
    pictures = sorted(store.iterdir())
    jpegs = [p.read_bytes() for p in pictures if p.suffix.lower() in (".jpg", ".jpeg")]
    links = folder / "links"
    links.mkdir()
    for number in range(count):
        path = links / f"{number:07}.jpg"
        if number % fresh:
            path.symlink_to(pictures[number % len(pictures)].resolve())
        else:
            path.write_bytes(make_picture(jpegs[number % len(jpegs)], number))
    return f"{count:,} files: links to {words}; every {fresh}th is a picture of its own"


def watch(
    process: subprocess.Popen[str], table: Path, count: int
) -> Iterator[tuple[int, float, float]]:
    """Rows written, MiB and seconds, ten times while a scan runs, and at its last row."""
    begin, seen, rows, place = time.monotonic(), 1, -1, 0  # the first line is the head
    while rows < count and process.poll() is None:
        time.sleep(0.1)
        if table.exists():
            with table.open("rb") as file:
                file.seek(place)
                new = file.read()
            place, rows = place + len(new), rows + new.count(b"\n")
        if rows >= seen * count / PARTS:
            yield rows, measure_memory(process), time.monotonic() - begin
            seen = int(rows * PARTS / count) + 1


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where memory grew."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--different", type=int, default=300, help="pictures that links lead to")
    parser.add_argument("--fresh", type=int, default=20, help="every so many-th is new")
    parser.add_argument("--data", type=Path, help="a manifest whose test pictures are taken")
    options = parser.parse_args(argv)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = fill_with_links(
            folder, options.files, options.different, options.fresh, options.data
        )
        table = folder / "out.csv"
        command = [sys.executable, "-m", "fakeface", "scan", str(folder / "links")]
        command += ["--out", str(table)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        print(f"{words}.\n\n| files | MiB | files a second so far |\n| --- | --- | --- |")
        held = []
        try:
            for rows, memory, seconds in watch(process, table, options.files):
                held.append(memory)
                print(f"| {rows:,} | {memory:.0f} | {rows / seconds:.0f} |", flush=True)
            said, _ = process.communicate()
        finally:
            process.kill()
    print(f"\n{said.strip().splitlines()[0]}")
    if process.returncode or len(held) < 2:
        return 1
    growth = held[-1] / held[0] - 1
    print(f"\nFrom the first tenth to the last: {growth:+.1%}.")
    return int(growth > MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
