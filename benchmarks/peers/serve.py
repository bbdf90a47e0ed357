"""One peer of a benchmark as a process of its own: told a task a line, it answers what it took.

It imports nothing of fakeface, since each peer has a fakeface of its own, or none.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

_ME = psutil.Process()


def cpu_seconds() -> float:
    """Of this process and of its children, ended ones too; the children's in steps of 10 ms."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = (child.cpu_times() for child in _ME.children(recursive=True))
    return (
        time.process_time()
        + ended.ru_utime
        + ended.ru_stime
        + sum(times.user + times.system for times in running)
    )


class Stages:
    """CPU seconds of this process by stage, of work that one thread does from end to end."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inside = 0.0  # of the stages that ended since the innermost running one began

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block as a stage, without the stages inside it."""
        before, outer = time.process_time(), self._inside
        self._inside = 0.0
        try:
            yield
        finally:
            spent = time.process_time() - before
            self.seconds[name] += spent - self._inside
            self._inside = outer + spent

    def watch(self, owner: Any, name: str, stage: str) -> None:
        """Count each call of a function or method as a stage; a generator is run to its end."""
        function: Callable[..., Any] = getattr(owner, name)

        def call(*args: Any, **options: Any) -> Any:
            with self.stage(stage):
                found = function(*args, **options)
                return list(found) if isinstance(found, Iterator) else found

        setattr(owner, name, call)


def time_calls(call: Callable[[], object], runs: int) -> list[float]:
    """Milliseconds of each of some calls."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return times


def time_answers(answer: Callable[[dict[str, str]], object], photo: str, runs: int) -> list[float]:
    """Milliseconds of each of some answers of a page about a photo, which is uploaded each time."""
    from gradio.utils import get_upload_folder

    uploads = Path(get_upload_folder())
    uploads.mkdir(parents=True, exist_ok=True)
    times = []
    with TemporaryDirectory(dir=uploads, ignore_cleanup_errors=True) as place:
        for run in range(runs):
            upload = Path(place) / str(run) / "photo.jpg"  # the page deletes it and its folder
            upload.parent.mkdir(parents=True)
            shutil.copyfile(photo, upload)
            sent = {"path": str(upload), "orig_name": "photo.jpg"}
            times += time_calls(lambda sent=sent: answer(sent), 1)
    return times


def serve(**tasks: Callable[..., Any]) -> None:
    """Do tasks until the input ends: `["name", argument ...]` -> result, wall and CPU seconds."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    print(json.dumps("ready"), file=out, flush=True)
    for line in sys.stdin:
        name, *args = json.loads(line)
        cpu, wall = cpu_seconds(), time.perf_counter()
        result = tasks[name](*args)
        took = {"wall": time.perf_counter() - wall, "cpu": cpu_seconds() - cpu}
        print(json.dumps({"result": result, **took}), file=out, flush=True)
