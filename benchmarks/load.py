"""What a real server does under load: `python -m benchmarks.load`, or `make load`.

Starts `python app.py` as a process of its own, and sends it pictures from more and more clients at
once, until there are more than its queue takes. Each client sends a picture that no other client
has, and checks that the answer is about that very picture, by its sha256. Then a few clients go on
for longer (`--soak`, five minutes; 3600 is an hour), and at the end the server is told to stop
while requests run. The table goes to docs/reliability.md, between its two marks.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import platform
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx
import numpy as np
import psutil

from fakeface import __version__
from fakeface.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "docs" / "reliability.md"
MARKS = ("<!-- load: begin -->", "<!-- load: end -->")
LATER = re.compile(r"server is busy|queue is stopped|server is stopping", re.IGNORECASE)
TRUST = ssl.create_default_context()  # not read anew for each client
PAUSE = 1.0  # seconds until a client that was told that the server is busy asks again
PATIENCE = 600.0  # seconds that a client waits for its answer
START = 300.0  # seconds that the server may take to start
MOST_BUSY = 1.0  # seconds until it is told
MOST_GROWTH = 0.05  # of memory, while a few clients go on


@dataclass
class Tally:
    """What became of the requests of some clients.

    Attributes:
        counts: by outcome: ok, busy, mixed (an answer about another picture), lost (any other end).
        seconds: of each accepted request, from the upload to the answer.
        busy_seconds: of each request that was told to come again, from before its connection is
            opened to the word.
        problems: the first few errors, for the report.
    """

    counts: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    busy_seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        """How many requests were lost or mixed up."""
        return self.counts["lost"] + self.counts["mixed"]

    def add(self, outcome: str, seconds: float, problem: str = "") -> None:
        """Count one request."""
        self.counts[outcome] += 1
        if outcome == "ok":
            self.seconds.append(seconds)
        if outcome == "busy":
            self.busy_seconds.append(seconds)
        if problem and len(self.problems) < 5:
            self.problems.append(problem)


def make_picture(portrait: bytes, number: int) -> bytes:
    """The portrait with a comment of its own: the same pixels, another sha256."""
    comment = f"client {number}".encode()
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    return portrait[:2] + segment + portrait[2:]


@contextlib.contextmanager
def run_server(queue: int, errors: IO[bytes]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server process and its address, once it answers; what it says of faults goes to a file."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "app.py", "--queue", str(queue)]
    where = os.environ | {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=where, stdout=subprocess.DEVNULL, stderr=errors
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(port, process)
        yield url, process
    finally:
        process.kill()
        process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers on its port; a machine with much other work takes minutes."""
    until = time.monotonic() + START
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    sys.exit("The server does not answer; start `python app.py` to see why.")


async def ask(client: httpx.AsyncClient, picture: bytes, tally: Tally) -> bool:
    """Send one picture, count what became of it, and say whether it was accepted."""
    start = time.monotonic()
    try:
        answer = await client.post("/upload", files={"files": ("photo.jpg", picture)})
        if answer.is_success:
            (path,) = answer.json()
            answer = await client.post("/call/check", json={"data": [{"path": path}, ""]})
        if answer.is_success:
            answer = await client.get(f"/call/check/{answer.json()['event_id']}")
        told = answer.text
    except (httpx.HTTPError, ValueError) as error:
        tally.add("lost", time.monotonic() - start, repr(error))
        return False
    seconds = time.monotonic() - start
    if "event: complete" in told:
        (found,) = json.loads(told.rpartition("data: ")[2])
        same = found["sha256"] == hashlib.sha256(picture).hexdigest()
        tally.add("ok" if same else "mixed", seconds, "" if same else str(found))
        return True
    later = bool(LATER.search(told))
    tally.add("busy" if later else "lost", seconds, "" if later else told)
    return False


def connect(url: str) -> httpx.AsyncClient:
    """What one client sends with.

    Each needs its own: with every request, httpx goes through all connections that a client has,
    and with 300 of them that took most of the time that was measured.
    """
    return httpx.AsyncClient(base_url=f"{url}/gradio_api", timeout=PATIENCE, verify=TRUST)


async def press(url: str, pictures: list[bytes], seconds: float) -> Tally:
    """All clients at once, each one request after another."""
    tally = Tally()
    until = time.monotonic() + seconds

    async def visit(picture: bytes) -> None:
        async with connect(url) as client:
            while time.monotonic() < until:
                if not await ask(client, picture, tally):
                    await asyncio.sleep(PAUSE)

    await asyncio.gather(*map(visit, pictures))
    return tally


async def stop_under_load(
    url: str, process: subprocess.Popen[bytes], pictures: list[bytes]
) -> Tally:
    """SIGTERM while each client has a request under way; what became of those."""
    tally = Tally()

    async def visit(picture: bytes) -> None:
        async with connect(url) as client:
            await ask(client, picture, tally)

    async with asyncio.TaskGroup() as asked:
        for picture in pictures:
            asked.create_task(visit(picture))
        await asyncio.sleep(0.5)  # uploads are through, and judging has begun
        process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(process.wait, 90)
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


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write; 1 where anything was not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64, 300])
    parser.add_argument("--seconds", type=float, default=20, help="of each number of clients")
    parser.add_argument(
        "--soak", type=float, default=300, help="seconds with 4 clients; 3600 is an hour"
    )
    parser.add_argument("--queue", type=int, default=200, help="how many may wait")
    parser.add_argument("--report", type=Path, default=REPORT, help="where the table goes")
    options = parser.parse_args(argv)

    import matplotlib.cbook

    portrait = Path(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    head = (
        "| clients | answered | told busy | lost | mixed up | median, s | p95, s | slowest busy, s "
        "| memory, MiB |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    rows, bad = [], []

    def note(name: str, tally: Tally, memory: float) -> None:
        rows.append(row(name, tally, memory))
        print(rows[-1], *tally.problems, sep="\n", flush=True)
        if tally.wrong:
            bad.append(f"{tally.wrong} requests of {name} clients were lost or mixed up")
        if max(tally.busy_seconds, default=0) > MOST_BUSY:
            bad.append(f"with {name} clients it took more than {MOST_BUSY:g} s to say busy")

    with tempfile.TemporaryFile() as errors, run_server(options.queue, errors) as (url, process):
        data = portrait.read_bytes()
        pictures = [make_picture(data, n) for n in range(max(8, *options.clients))]
        asyncio.run(press(url, pictures[:4], 5))  # warm
        before = measure_memory(process)
        for count in options.clients:
            tally = asyncio.run(press(url, pictures[:count], options.seconds))
            note(str(count), tally, measure_memory(process))
        settled = measure_memory(process)
        tally = asyncio.run(press(url, pictures[:4], options.soak))
        after = measure_memory(process)
        note(f"4, for {options.soak:.0f} s", tally, after)
        if after > (1 + MOST_GROWTH) * settled:
            bad.append(f"memory grew by more than {MOST_GROWTH:.0%}")
        ended = asyncio.run(stop_under_load(url, process, pictures[:8]))
        if ended.wrong:
            bad.append("a request was lost when the server stopped")
        errors.seek(0)
        said = errors.read().decode(errors="replace")
        if "Traceback" in said:  # of a thread of its own, say, which no client is told of
            print(said)
            bad.append("the server met an error that it does not expect")
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
        f"{__version__}, {os.cpu_count()} cores, {platform.machine()}, {time.strftime('%Y-%m-%d')}"
        f".\n\n{head}\n" + "\n".join(rows) + f"\n\n{sentence}\n"
    )
    text = options.report.read_text(encoding="utf-8")
    begin, end = (text.index(mark) for mark in MARKS)
    text = f"{text[: begin + len(MARKS[0])]}\n{told}{text[end:]}"
    write_atomically(options.report, text.encode())
    print(*(f"Not as it should be: {what}." for what in bad), sep="\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
