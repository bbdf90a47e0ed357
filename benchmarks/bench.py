"""How fast this version is, against named peers in the same run: `make bench`.

Each peer is a process of its own, and they take turns, so that what else the machine does meets all
of them alike: the ratio of a round is of two measurements that follow each other. The tables go to
benchmarks/RESULTS.md, between its two marks.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.pictures import ROOT, fill, megapixel_photo
from fakeface import __version__
from fakeface.files import write_atomically
from fakeface.models import checkpoints

REPORT: Final = ROOT / "benchmarks" / "RESULTS.md"
MARKS: Final = ("<!-- bench: begin -->", "<!-- bench: end -->")
HERE: Final = f"fakeface {__version__}"
OLD: Final = "fakeface 0.8.0"
PLAIN: Final = "plain loop"
STAGES: Final = ("decode", "detect", "crop", "judge", "write", "all else")


class Peer:
    """A process that does tasks; see `peers/serve.py`."""

    def __init__(self, script: str, *arguments: str, root: Path = ROOT) -> None:
        self._process = subprocess.Popen(  # noqa: S603  (of this project)
            [sys.executable, str(ROOT / "benchmarks" / "peers" / f"{script}.py"), *arguments],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root), "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def ask(self, task: str, *arguments: Any) -> Any:
        """Do a task: `result`, `wall` and `cpu`, in seconds."""
        print(json.dumps([task, *arguments]), file=self._process.stdin, flush=True)
        return self._read()

    def _read(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            sys.exit("A peer has stopped; what it said is above.")
        return json.loads(line)

    def close(self) -> None:
        """Let it end."""
        self._process.communicate()


@dataclass(frozen=True)
class Spread:
    """The middle of some numbers, and the least and the greatest."""

    middle: float
    low: float
    high: float

    @staticmethod
    def of(numbers: Sequence[float]) -> Spread:
        """At least one number."""
        return Spread(statistics.median(numbers), min(numbers), max(numbers))

    def __format__(self, how: str) -> str:
        return f"{self.middle:{how}} ({self.low:{how}} to {self.high:{how}})"


def ratios(theirs: Sequence[float], ours: Sequence[float]) -> Spread:
    """How many times as much theirs is, round by round."""
    return Spread.of([a / b for a, b in zip(theirs, ours)])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def measure_scan(peers: dict[str, Peer], folder: Path, out: Path, rounds: int) -> str:
    """Files a second of whole scans, in turns."""
    took: dict[str, list[Any]] = {name: [] for name in peers}
    files = len(list(folder.iterdir()))
    for _ in range(rounds):
        for name, peer in peers.items():
            took[name].append(peer.ask("scan", str(folder), str(out)))
    wall = {name: [1000 * found["wall"] / files for found in all_] for name, all_ in took.items()}
    cpu = {name: [1000 * found["cpu"] / files for found in all_] for name, all_ in took.items()}
    rows = [
        [
            name,
            f"{1000 / statistics.median(wall[name]):.1f}",
            f"{Spread.of(cpu[name]):.1f}",
            f"{ratios(wall[name], wall[HERE]):.2f}",
            f"{ratios(cpu[name], cpu[HERE]):.2f}",
        ]
        for name in peers
    ]
    head = [
        "",
        "files a second",
        "CPU ms a file",
        "time, as a multiple of ours",
        "CPU, as a multiple",
    ]
    return table(head, rows)


def measure_stages(peers: dict[str, Peer], folder: Path, out: Path, rounds: int) -> str:
    """CPU milliseconds a file by stage, of scans with one thread."""
    files = len(list(folder.iterdir()))
    found: dict[str, list[dict[str, float]]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, peer in peers.items():
            found[name].append(peer.ask("scan_by_stages", str(folder), str(out))["result"])
    rows = []
    for stage in (*STAGES, "sum"):
        cells = [stage]
        for all_ in found.values():
            of = [sum(one.values()) if stage == "sum" else one.get(stage, 0.0) for one in all_]
            cells.append(f"{Spread.of([1000 * seconds / files for seconds in of]):.1f}")
        rows.append(cells)
    return table(["CPU ms a file", *found], rows)


def measure_answers(peers: dict[str, Peer], photo: Path, runs: int, rounds: int) -> str:
    """Milliseconds from a photo to the verdict and to the heatmap, warm, in turns."""
    rows = []
    for task, asked in (
        ("verdict", list(peers)),
        ("heatmap", [name for name in peers if name != PLAIN]),
    ):
        middles: dict[str, list[float]] = {name: [] for name in asked}
        times: dict[str, list[float]] = {name: [] for name in asked}
        for name in asked:
            peers[name].ask(task, str(photo), 2)  # warm
        for _ in range(rounds):
            for name in asked:
                some = peers[name].ask(task, str(photo), runs)["result"]
                middles[name].append(statistics.median(some))
                times[name] += some
        for name in asked:
            share = f"{ratios(middles[name], middles[HERE]):.2f}"
            middle, low = statistics.median(times[name]), min(times[name])
            rows.append([f"{task}, {name}", f"{middle:.0f}", f"{low:.0f}", share])
    return table(["photo of 1 megapixel to", "p50, ms", "least, ms", "time, as a multiple"], rows)


def start_page(root: Path) -> tuple[float, float]:
    """Seconds until `python app.py` answers, and of CPU that it took."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(root)}
    start = time.perf_counter()
    process = psutil.Popen(
        [sys.executable, "app.py"], cwd=root, env={**os.environ, **settings},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while time.perf_counter() < start + 300:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60).read()
                times = process.cpu_times()
                return time.perf_counter() - start, times.user + times.system
            time.sleep(0.05)
    finally:
        for one in (*process.children(recursive=True), process):
            one.kill()
        process.wait()
    sys.exit("The page did not answer within five minutes.")


def measure_cold_start(roots: dict[str, Path], rounds: int) -> str:
    """Seconds from `python app.py` to the first answer, in turns."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in roots}
    for _ in range(rounds):
        for name, root in roots.items():
            took[name].append(start_page(root))
    rows = [
        [name, f"{Spread.of([a for a, _ in all_]):.1f}", f"{Spread.of([b for _, b in all_]):.1f}"]
        for name, all_ in took.items()
    ]
    return table(["page, cold", "seconds to the first answer", "CPU seconds"], rows)


def measure_one_face(runs: int, rounds: int) -> str:
    """One pass of one face through each shipped model: OpenVINO against eager PyTorch."""
    rows = []
    for card in checkpoints.installed():
        peer = Peer("one_face")
        engine = peer.ask("load", card.name)["result"]
        took: dict[str, list[float]] = {"torch": [], "openvino": []}
        for name in took:
            peer.ask("time_passes", card.name, name, 3)  # warm
        for _ in range(rounds):
            for name, found in took.items():
                some = peer.ask("time_passes", card.name, name, runs)["result"]
                found.append(statistics.median(some))
        peer.close()
        rows.append(
            [
                card.title,
                engine,
                f"{Spread.of(took['torch']):.1f}",
                f"{Spread.of(took['openvino']):.1f}",
                f"{ratios(took['torch'], took['openvino']):.2f}",
            ]
        )
    head = ["one face, one pass", "engine", "eager PyTorch, ms", "engine, ms", "times as fast"]
    return table(head, rows)


def describe_machine() -> str:
    """What it ran on, and with what else: the numbers are of a machine shared with other work."""
    import cv2
    import openvino
    import torch

    known = torch.cpu.get_capabilities()
    kinds = [kind for kind in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16") if known.get(kind)]
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        f"{time.strftime('%Y-%m-%d')}; {known.get('cpu_name') or platform.machine()}, "
        f"{os.cpu_count()} cores, {', '.join(kinds)}; load average at the start {load}. Python "
        f"{platform.python_version()}, torch {torch.__version__}, torchvision "
        f"{version('torchvision')}, OpenVINO {openvino.__version__.partition('-')[0]}, OpenCV "
        f"{cv2.__version__}, Pillow {version('pillow')}."
    )


@contextlib.contextmanager
def open_peers(model: str, baseline: Path | None) -> Iterator[dict[str, Peer]]:
    """This version, 0.8.0 where its folder is at hand, and the plain loop."""
    peers = {HERE: Peer("present", model)}
    try:
        if baseline:
            peers[OLD] = Peer("release_0_8_0", model, root=baseline)
        peers[PLAIN] = Peer("plain", model)
        yield peers
    finally:
        for peer in peers.values():
            peer.close()


def write_report(text: str) -> None:
    """Put text between the marks of the report."""
    before, rest = REPORT.read_text(encoding="utf-8").split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    write_atomically(REPORT, f"{before}{MARKS[0]}\n{text}{MARKS[1]}{after}".encode())


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and write; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="", help="an installed model; else the default one")
    parser.add_argument("--baseline", type=Path, help="a folder with the files of 0.8.0")
    parser.add_argument("--data", type=Path, help="a manifest whose test pictures are scanned")
    parser.add_argument("--files", type=int, default=300, help="in a scan (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="turns of each (default: %(default)s)"
    )
    parser.add_argument("--runs", type=int, default=10, help="photos and faces of a turn")
    parser.add_argument("--no-page", action="store_true", help="do not start the page")
    args = parser.parse_args(argv)
    baseline = args.baseline and args.baseline.resolve()  # the peer starts in that folder
    baseline = baseline if baseline and (baseline / "app.py").exists() else None
    model = args.model or checkpoints.default()
    parts = [f"{describe_machine()} Default model of the runs: {model}."]
    if baseline is None:
        parts.append(
            "0.8.0 was not measured: its files were not at hand (`make bench` takes them from the "
            "history of the repository, which may be cut short)."
        )

    def add(part: str) -> None:
        parts.append(part)
        print(part, flush=True)
        write_report("\n\n".join(one.strip() for one in parts) + "\n")  # a kill costs one part

    with tempfile.TemporaryDirectory() as place:
        folder, few, out = (Path(place) / name for name in ("files", "few", "table.csv"))
        folder.mkdir(), few.mkdir()
        said = fill(folder, args.files, args.data)
        fill(few, max(2, args.files // 6), args.data)
        photo = Path(place) / "photo.jpg"
        photo.write_bytes(megapixel_photo())
        with open_peers(model, baseline) as peers:
            if OLD in peers and (other := peers[OLD].ask("model")["result"]) != model:
                parts.append(f"0.8.0 does not have that model and runs its own default, {other}.")
            for peer in peers.values():
                peer.ask("scan", str(few), str(out))  # warm
            add(f"### Scan\n\n{said}.\n\n{measure_scan(peers, folder, out, args.rounds)}")
            whole = {name: peer for name, peer in peers.items() if name != PLAIN}
            add(f"### By stage\n\n{measure_stages(whole, few, out, args.rounds)}")
            add(f"### A photo\n\n{measure_answers(peers, photo, args.runs, args.rounds)}")
    if not args.no_page:
        roots = {HERE: ROOT, **({OLD: baseline} if baseline else {})}
        add(f"### Cold start\n\n{measure_cold_start(roots, min(3, args.rounds))}")
    add(f"### One face\n\n{measure_one_face(args.runs, args.rounds)}")


if __name__ == "__main__":
    main()
