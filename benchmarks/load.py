"""What a real server does under load: `python -m benchmarks.load`, or `make load`.

Starts `python app.py` as a process of its own, and then one client after another until there are
more than it can serve. Each client sends a picture that no other client has, and checks that the
answer is about that very picture, by its sha256. At the end the server is told to stop while
requests run. The table goes to docs/reliability.md, between its two marks.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from fakeface import __version__
from fakeface.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "docs" / "reliability.md"
MARKS = ("<!-- load: begin -->", "<!-- load: end -->")
BUSY = re.compile(r"busy|queue is full|stopping", re.IGNORECASE)


@dataclass
class Tally:
    """What became of the requests of some clients.

    Attributes:
        counts: by outcome: ok, busy, mixed (an answer about another picture), lost (any other end).
        seconds: of each accepted request, from the upload to the answer.
        busy_seconds: of each request that was told to come again.
        problems: the first few errors, for the report.
    """

    counts: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    busy_seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, outcome: str, seconds: float, problem: str = "") -> None:
        """Count one request."""
        with self.lock:
            self.counts[outcome] += 1
            if outcome == "ok":
                self.seconds.append(seconds)
            if outcome == "busy":
                self.busy_seconds.append(seconds)
            if problem and len(self.problems) < 5:
                self.problems.append(problem)


def make_picture(portrait: bytes, number: int, folder: Path) -> Path:
    """The portrait with a comment of its own: the same pixels, another sha256."""
    comment = f"client {number}".encode()
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    path = folder / f"client-{number}.jpg"
    path.write_bytes(portrait[:2] + segment + portrait[2:])
    return path


@contextlib.contextmanager
def run_server(queue: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server process and its address, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "app.py", "--queue", str(queue)]
    where = os.environ | {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    process = subprocess.Popen(command, cwd=ROOT, env=where, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None:
                sys.exit("The server stopped before it answered.")
            time.sleep(0.1)
        yield url, process
    finally:
        process.kill()
        process.wait()


def ask(client: Client, path: Path, sha256: str, tally: Tally) -> None:
    """Send one picture, and count what became of it."""
    start = time.monotonic()
    try:
        answer = client.predict(handle_file(path), api_name="/check")
    except (AppError, ValueError, OSError) as error:
        outcome = "busy" if BUSY.search(str(error)) else "lost"
        tally.add(outcome, time.monotonic() - start, "" if outcome == "busy" else repr(error))
        return
    except Exception as error:  # of the connection, whatever library raises it
        tally.add("lost", time.monotonic() - start, repr(error))
        return
    same = answer.get("sha256") == sha256
    tally.add("ok" if same else "mixed", time.monotonic() - start, "" if same else str(answer))


def press(url: str, pictures: list[Path], seconds: float) -> Tally:
    """All clients at once, each one request after another."""
    tally = Tally()
    until = time.monotonic() + seconds

    def visit(path: Path) -> None:
        client = Client(url, verbose=False)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        while time.monotonic() < until:
            ask(client, path, sha256, tally)

    with ThreadPoolExecutor(len(pictures)) as pool:
        list(pool.map(visit, pictures))
    return tally


def stop_under_load(url: str, process: subprocess.Popen[bytes], pictures: list[Path]) -> Tally:
    """SIGTERM while each client has a request under way; what became of those."""
    tally = Tally()
    clients = [Client(url, verbose=False) for _ in pictures]
    with ThreadPoolExecutor(len(pictures)) as pool:
        asked = [
            pool.submit(ask, client, path, hashlib.sha256(path.read_bytes()).hexdigest(), tally)
            for client, path in zip(clients, pictures)
        ]
        time.sleep(0.5)  # uploads are through, and judging has begun
        process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        for one in asked:
            one.result()
    process.wait(60)
    tally.add("stopped", time.monotonic() - start)
    return tally


def measure_memory(process: subprocess.Popen[bytes]) -> float:
    """What the server and its workers hold, MiB; shared pages count once for each."""
    family = psutil.Process(process.pid)
    members = [family, *family.children(recursive=True)]
    return sum(member.memory_info().rss for member in members) / 2**20


def row(name: str, tally: Tally, memory: float) -> str:
    """One line of the table."""
    counts = tally.counts
    ok = np.array(tally.seconds or [np.nan])
    busy = np.array(tally.busy_seconds or [np.nan])
    cells = [
        name, counts["ok"], counts["busy"], counts["lost"], counts["mixed"],
        f"{np.median(ok):.2f}", f"{np.quantile(ok, 0.95):.2f}", f"{np.max(busy):.2f}",
        f"{memory:.0f}",
    ]  # fmt: skip
    return f"| {' | '.join(str(cell).replace('nan', '–') for cell in cells)} |"


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64, 300])
    parser.add_argument("--seconds", type=float, default=20, help="of each number of clients")
    parser.add_argument("--soak", type=float, default=300, help="seconds with 4 clients at the end")
    parser.add_argument("--queue", type=int, default=200)
    options = parser.parse_args()

    import matplotlib.cbook

    portrait = Path(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    head = (
        "| clients | answered | told busy | lost | mixed up | median, s | p95, s | slowest busy, s "
        "| memory, MiB |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    rows, wrong = [], 0
    with tempfile.TemporaryDirectory() as place, run_server(options.queue) as (url, process):
        data = portrait.read_bytes()
        pictures = [make_picture(data, n, Path(place)) for n in range(max(options.clients))]
        press(url, pictures[:1], 3)  # warm
        before = measure_memory(process)
        for count in options.clients:
            tally = press(url, pictures[:count], options.seconds)
            rows.append(row(str(count), tally, measure_memory(process)))
            print(rows[-1], *tally.problems, sep="\n", flush=True)
            wrong += tally.counts["lost"] + tally.counts["mixed"]
        settled = measure_memory(process)
        tally = press(url, pictures[:4], options.soak)
        after = measure_memory(process)
        rows.append(row(f"4, for {options.soak:.0f} s", tally, after))
        print(rows[-1], *tally.problems, sep="\n", flush=True)
        wrong += tally.counts["lost"] + tally.counts["mixed"]
        ended = stop_under_load(url, process, pictures[:8])
        seconds = time.strftime("%Y-%m-%d")
    sentence = (
        f"Memory: {before:.0f} MiB warm, {settled:.0f} before the last row and {after:.0f} after "
        f"it ({(after / settled - 1):+.1%}). SIGTERM with 8 requests under way: "
        f"{ended.counts['ok']} were answered, {ended.counts['busy']} told that the server stops, "
        f"{ended.counts['lost']} lost, {ended.counts['mixed']} mixed up; the process ended."
    )
    print(sentence, *ended.problems, sep="\n")
    told = (
        f"`python -m benchmarks.load --clients {' '.join(map(str, options.clients))} --seconds "
        f"{options.seconds:g} --soak {options.soak:g} --queue {options.queue}`, fakeface "
        f"{__version__}, {os.cpu_count()} cores, {platform.machine()}, {seconds}.\n\n{head}\n"
        + "\n".join(rows)
        + f"\n\n{sentence}\n"
    )
    text = REPORT.read_text(encoding="utf-8")
    begin, end = (text.index(mark) for mark in MARKS)
    text = f"{text[: begin + len(MARKS[0])]}\n{told}{text[end:]}"
    write_atomically(REPORT, text.encode())
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
