"""Strangers' files through all that takes files: each gets its answer, and nothing else happens.

The ordinary run takes the first few hundred of `tests.hostile`; `make hostile` takes ten thousand.
The face detector, the decoders and the page are the real ones; the network behind them is replaced
by a constant, since it sees only what was decoded.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch

from fakeface import explain, scan
from fakeface.analysis import analyse_file
from fakeface.faces import Detector, Haar
from fakeface.models import checkpoints
from fakeface.models.engine import Model
from fakeface.page import service
from fakeface.page.batch import judge_batch
from fakeface.page.check import check_photo, make_report
from fakeface.page.compare import compare_models
from fakeface.scan import pipeline
from fakeface.scan.rows import path_cell
from fakeface.scan.table import Table
from fakeface.types import RGB, Face, Status
from fakeface.workers import pool as workers
from tests import hostile
from tests.conftest import card, random_network

MOST_SECONDS = 10.0
UNREADABLE = Status.UNREADABLE.value
BLOCK = 100  # files that are scanned together, and sent as one batch
FIRST, LAST = map(int, os.environ.get("FAKEFACE_HOSTILE_FILES", "0:300").split(":"))
# Files that once broke something stay in every run.
KEPT = (7529, 1426)  # archives: names with backslashes were hidden files; a file had no name
BLOCKS = [KEPT] + [
    tuple(range(first, min(first + BLOCK, LAST))) for first in range(FIRST, LAST, BLOCK)
]

Made = TypeVar("Made")
Put = Callable[[bytes, str], dict[str, Any]]


class Guard:
    """Notes every file that Python opens to write, or moves or links, outside a folder."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.outside: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event == "open":
            path, mode, flags = args
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or set(mode or "") & set("wax+")
            paths = [path] if writes else []
        elif event in ("os.rename", "os.link", "os.symlink"):
            paths = list(args[:2])
        elif event in ("os.mkdir", "os.remove", "os.truncate"):
            paths = [args[0]]
        else:
            return
        for path in paths:
            if isinstance(path, int) or path in (None, os.devnull):
                continue  # it was opened before
            real = os.path.realpath(os.fsdecode(path))
            if not Path(real).is_relative_to(self.folder):
                self.outside.append(f"{event} {real}")

    @contextmanager
    def watching(self, folder: Path) -> Iterator[None]:
        """Note what is written outside a folder, until the block ends."""
        self.folder, self.outside = folder.resolve(), []
        try:
            yield
        finally:
            self.folder = None


@pytest.fixture(scope="module")
def guard() -> Guard:
    return Guard()


@pytest.fixture(scope="module")
def model() -> Model:
    """A model of which no more runs than its preprocessing: every face gets the same logit."""
    made = Model(card("untrained", size=32), random_network("mobilenetv2_100"), "cpu")
    made._pass = lambda batch: (torch.zeros(len(batch), 1), torch.zeros(len(batch), 4))  # type: ignore[method-assign]
    return made


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the card that the page shows."""
    folder = tmp_path_factory.mktemp("checkpoints")
    checkpoints.save(folder / "untrained", random_network("mobilenetv2_100"), card("untrained"))
    return folder


class Remembering(Haar):
    """A detector that looks at equal pictures once: each comes by several ways."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[bytes, tuple[Face, ...]] = {}

    def detect(self, image: RGB) -> tuple[Face, ...]:
        """See `fakeface.faces.Detector`."""
        key = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()
        if key not in self._known:
            self._known[key] = super().detect(image)
        return self._known[key]


@pytest.fixture
def detector() -> Detector:
    return Remembering()


@pytest.fixture
def work(
    tmp_path: Path,
    root: Path,
    model: Model,
    detector: Detector,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder deep enough that a name with .. in it would be seen to leave it."""
    folder = tmp_path / "outer" / "a" / "b" / "work"
    for name in ("files", "uploads", "tmp"):
        (folder / name).mkdir(parents=True)
    monkeypatch.setenv("FAKEFACE_CHECKPOINTS", str(root))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
    monkeypatch.setenv("TMPDIR", str(folder / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(service, "_model", lambda name: model)
    monkeypatch.setattr(service._detector, "get", lambda: detector)
    flat = np.zeros((7, 7), np.float32)
    monkeypatch.setattr(explain, "grad_cam", lambda _, batch, logits: np.stack([flat] * len(batch)))
    monkeypatch.delenv(workers.SETTING, raising=False)
    assert checkpoints.installed()
    return folder


@pytest.fixture
def put(work: Path) -> Put:
    """Put bytes where an upload would lie, and return what a browser then sends of it."""
    count = iter(range(10**9))

    def place(data: bytes, name: str) -> dict[str, Any]:
        folder = work / "uploads" / f"upload-{next(count)}"
        folder.mkdir()
        (folder / "file").write_bytes(data)
        return {"path": str(folder / "file"), "orig_name": name}

    return place


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """What came of all blocks, told at the end of a long run."""
    found: dict[str, Any] = {"statuses": Counter(), "slowest": (0.0, "")}
    begin = time.monotonic()
    yield found
    if LAST - FIRST > 1000:
        seconds, name = found["slowest"]
        count = sum(found["statuses"].values())
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(
                f"\n{count} files in {time.monotonic() - begin:.0f} s: "
                + ", ".join(f"{n} {status}" for status, n in sorted(found["statuses"].items()))
                + f"; the slowest took {seconds:.1f} s: {name!r}"
            )


def state(html: str) -> str:
    """The status that an answer of the page shows."""
    found = html.partition('class="ff ff-result ')[2].partition('"')[0]
    return Status.UNREADABLE.value if found == "error" else found


def is_sentence(error: str | None) -> bool:
    """Whether an error is plain text on one line and not what Python says of itself."""
    return error is None or ("\n" not in error and "Traceback" not in error and error[-1] == ".")


def is_text(html: str) -> bool:
    """Whether no name became a part of the page."""
    return "<img src=x" not in html and "<script>alert" not in html


def scanned(paths: list[Path], place: Path, model: Model, detector: Detector) -> dict[str, str]:
    """The status of each row of a scan of these files, by its path."""
    pipeline.scan(map(str, paths), Table(place), models=[model], detector=detector, workers=2)
    with place.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(tuple(row) == scan.COLUMNS and row["status"] in set(Status) for row in rows)
    return {row["path"]: row["status"] for row in rows}


def batched(files: list[hostile.Hostile], put: Put) -> list[list[str]]:
    """The statuses of each file's rows in a batch of all."""
    *_, value = judge_batch({"files": [put(file.data, file.name) for file in files]}, "untrained")
    assert "message" not in value
    rows = value["rows"]
    assert json.dumps(rows)
    lines = list(csv.reader(io.StringIO(value["header"] + "".join(row["csv"] for row in rows))))
    assert [line[0] for line in lines[1:]] == [path_cell(row["file"]) for row in rows]
    return [
        [row["status"] for row in rows if f"{row['file']}/".startswith(f"{file.name}/")]
        for file in files
    ]


def compared_and_reported(
    file: hostile.Hostile, status: Status, shown: dict[str, Any], put: Put
) -> dict[str, bool]:
    """Whether the tab Compare and the report say the same."""
    html = compare_models({"file": put(file.data, file.name)}, ["untrained"])["html"]
    again = {"file": put(file.data, file.name), **shown.get("report", {}), "kind": "html"}
    made = make_report(again)
    return {
        "Compare": state(html) == status and is_text(html),
        "the report": ("text" in made) == (status != UNREADABLE) and is_text(made.get("text", "")),
    }


def timed(work: Callable[[], Made]) -> tuple[Made, float]:
    """What a function returns, and its seconds; of two calls where the first took too long.

    A file that makes something hang does so again, and a machine with other work does not.
    """
    best = float("inf")
    for _ in range(2):
        begin = time.monotonic()
        made = work()
        best = min(best, time.monotonic() - begin)
        if best < MOST_SECONDS:
            break
    return made, best


@pytest.mark.parametrize("numbers", BLOCKS, ids=lambda numbers: f"{numbers[0]}-{numbers[-1]}")
def test_every_file_gets_its_answer_and_nothing_else_happens(
    numbers: tuple[int, ...],
    work: Path,
    put: Put,
    model: Model,
    detector: Detector,
    guard: Guard,
    tally: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    files = [hostile.make(number) for number in numbers]
    paths = [hostile.place(file, work / "files") for file in files]
    statuses: list[str] = []
    wrong: list[str] = []
    with guard.watching(work):
        for number, file, path in zip(numbers, files, paths):
            analysis, first = timed(partial(analyse_file, path, models=[model], detector=detector))
            shown, second = timed(
                lambda file=file: check_photo({"file": put(file.data, file.name)}, "untrained")
            )
            seconds = max(first, second)
            tally["slowest"] = max(tally["slowest"], (seconds, f"{file.kind} {file.name}"))
            statuses.append(analysis.status.value)
            holds = {
                "its time": seconds < MOST_SECONDS,
                "its status": analysis.status in file.right,
                "its sentence": is_sentence(analysis.error),
                "the page": state(shown["html"]) == analysis.status and is_text(shown["html"]),
            }
            if number % 10 == 0:
                holds |= compared_and_reported(file, analysis.status, shown, put)
            wrong += [
                f"{name} of {file}: {analysis.error}" for name, yes in holds.items() if not yes
            ]
        table = scanned(paths, work / "table.csv", model, detector)
        rows = batched(files, put)
    for file, path, status, answers in zip(files, paths, statuses, rows):
        if file.kind != "tar_slip" and table[path_cell(str(path))] != status:
            wrong.append(f"the row of {file}")  # those of a tar archive are its members'
        bad = (
            set(answers) != {UNREADABLE}
            if file.kind == "zip_bomb"
            else answers != (list(file.members) or [status])
        )
        if bad:
            wrong.append(f"the batch of {file}: {answers}")
    assert wrong == []
    assert guard.outside == []
    assert list(work.parents[2].rglob("*slipped*")) == []
    assert [path for path in (work / "uploads").rglob("*") if path.is_file()] == []
    # A fault of ours would be a sentence too, but it is logged.
    assert [line for line in caplog.records if line.name.startswith("fakeface")] == []
    tally["statuses"].update(statuses)


def test_links_and_pipes_end_a_scan_neither_in_a_loop_nor_elsewhere(
    work: Path, model: Model, detector: Detector, guard: Guard
) -> None:
    folder = work / "files"
    (folder / "photo.jpg").write_bytes(hostile.seeds()["jpg"])
    (folder / "passwords.jpg").symlink_to("/etc/passwd")
    (folder / "dangling.jpg").symlink_to(folder / "nowhere")
    (folder / "itself.jpg").symlink_to(folder / "itself.jpg")
    (folder / "loop").symlink_to(folder)
    (folder / "endless.jpg").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.jpg")
    with guard.watching(work):
        table = scanned([folder], work / "table.csv", model, detector)
    assert guard.outside == []
    found = {Path(path).name: status for path, status in table.items()}
    assert found.pop("photo.jpg") == "ok"
    assert set(found.values()) == {UNREADABLE} and len(found) == 5


def test_the_files_are_those_of_their_numbers_and_of_every_kind() -> None:
    first = [hostile.make(number) for number in range(100)]
    assert first == [hostile.make(number) for number in range(100)]
    assert {file.kind for file in first} == set(hostile.KINDS) == set(hostile.SHARES)
    assert sum(hostile.SHARES.values()) == 100


def test_a_file_outside_the_folder_is_noticed(guard: Guard, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    with guard.watching(tmp_path / "work"):
        (tmp_path / "work" / "in.txt").write_text("x")
        assert guard.outside == []
        (tmp_path / "work" / ".." / "out.txt").write_text("x")
        (tmp_path / "out.txt").rename(tmp_path / "work" / "moved.txt")
    assert len(guard.outside) == 2
