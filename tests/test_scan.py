"""Many files into a table that survives being stopped, odd names and odd files."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image

import fakeface
from fakeface.analysis import analyse_file
from fakeface.faces import MTCNN, Detector, Haar
from fakeface.models.backbones import build
from fakeface.models.calibrate import Calibration
from fakeface.models.engine import Model
from fakeface.models.preprocess import Preprocessing
from fakeface.names import spell, to_path
from fakeface.scan import COLUMNS, pipeline, rows
from fakeface.scan.pipeline import Outcome, Summary, scan
from fakeface.scan.rows import Row
from fakeface.scan.table import Table
from fakeface.types import RGB, Analysis, Box, Face, FaceReport, Score, Status, Verdict
from tests.conftest import card

HEADER = "path,status,model,faces,p_fake,verdict,weights,too_small\n"

CASES = Path(__file__).parent / "data/cases"


def tiny(name: str, logit: float, weights: str) -> Model:
    """A network that gives every face that logit."""
    network = build("mobilenetv2_100")
    torch.nn.init.constant_(network.get_submodule("classifier").bias, logit)  # type: ignore[arg-type]
    how = Preprocessing(64, 0.3, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    facts = card(name, preprocessing=how, calibration=Calibration(1.0, 0.3, 0.7))
    return Model(dataclasses.replace(facts, sha256=weights), network, "cpu")


@pytest.fixture(scope="module")
def models() -> list[Model]:
    return [tiny("a", 1.0, "aa"), tiny("b", -1.0, "bb")]


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Haar()


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph with one face, small enough to be quick."""
    path = tmp_path_factory.mktemp("portrait") / "portrait.jpg"
    with Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)) as image:
        image.resize((256, 300)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path, portrait: Path) -> Path:
    """Two photographs, a picture without a face, and a file that is no picture."""
    root = tmp_path / "photos"
    (root / "sub").mkdir(parents=True)
    (root / "one.jpg").write_bytes(portrait.read_bytes())
    (root / "sub/two.JPG").write_bytes(portrait.read_bytes() + b"another file")
    Image.fromarray(np.full((80, 80, 3), 200, np.uint8)).save(root / "plain.png")
    (root / "broken.jpg").write_bytes(b"not a picture")
    return root


OUTCOMES: dict[object, Outcome] = {}


@pytest.fixture
def _judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What equal bytes came to in an earlier test is not found out again."""
    real = pipeline.judge_bytes

    def judge(data: bytes, models: list[Model], detector: Detector) -> Outcome:
        key = data, detector.name, *((model.name, model.sha256) for model in models)
        if key not in OUTCOMES:
            OUTCOMES[key] = real(data, models, detector)
        return OUTCOMES[key]

    monkeypatch.setattr(pipeline, "judge_bytes", judge)


@pytest.fixture
def looked_at(_judged_once: None, monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, list[str]]]:
    """Which bytes are analysed, and by which models."""
    seen: list[tuple[bytes, list[str]]] = []
    real = pipeline.judge_bytes

    def spy(data: bytes, models: list[Model], detector: Detector) -> Outcome:
        seen.append((data, [m.name for m in models]))
        return real(data, models, detector)

    monkeypatch.setattr(pipeline, "judge_bytes", spy)
    return seen


def read(table: Path) -> list[tuple[str, ...]]:
    with table.open(encoding="utf-8", newline="") as file:
        head, *body = csv.reader(file)
    assert tuple(head) == COLUMNS
    return [tuple(row) for row in body]


Run = Callable[..., Summary]


@pytest.fixture
def run(_judged_once: None, tmp_path: Path, models: list[Model], detector: Detector) -> Run:
    def run(
        *sources: Path | str, names: str = "ab", out: Path = tmp_path / "out.csv", bom: bool = False
    ) -> Summary:
        chosen = [next(m for m in models if m.name == name) for name in names]
        return scan(map(str, sources), Table(out, bom=bom), models=chosen, detector=detector)

    return run


def test_one_row_a_file_and_model(folder: Path, tmp_path: Path, run: Run) -> None:
    summary = run(folder)
    assert read(tmp_path / "out.csv") == [
        (str(folder / "broken.jpg"), "unreadable", "a", "0", "", "", "aa", ""),
        (str(folder / "broken.jpg"), "unreadable", "b", "0", "", "", "bb", ""),
        (str(folder / "one.jpg"), "ok", "a", "1", "0.7311", "AI-generated", "aa", "0"),
        (str(folder / "one.jpg"), "ok", "b", "1", "0.2689", "real", "bb", "0"),
        (str(folder / "plain.png"), "no_face", "a", "0", "", "", "aa", "0"),
        (str(folder / "plain.png"), "no_face", "b", "0", "", "", "bb", "0"),
        (str(folder / "sub/two.JPG"), "ok", "a", "1", "0.7311", "AI-generated", "aa", "0"),
        (str(folder / "sub/two.JPG"), "ok", "b", "1", "0.2689", "real", "bb", "0"),
    ]
    assert (tmp_path / "out.csv").read_bytes().startswith(HEADER.encode())
    assert summary.counts == {Status.OK: 2, Status.NO_FACE: 1, Status.UNREADABLE: 1}
    assert (summary.read, summary.earlier) == (3, 0)
    ((reason, group),) = summary.unreadable.items()
    assert "no picture" in reason
    assert (group.count, group.first) == (1, [str(folder / "broken.jpg")])
    assert not summary.left_out and not summary.missing


def test_the_row_is_that_of_the_most_suspicious_face() -> None:
    faces = tuple(
        FaceReport(Face(Box(x, 0, 9, 9)), (Score("a", 0, p, v),))
        for x, p, v in ((0, 0.25, Verdict.REAL), (9, 0.8, Verdict.FAKE), (18, 0.5, Verdict.UNSURE))
    )
    found = Analysis("x", "", Status.OK, 27, 9, "haar", ("a",), faces)
    assert rows(found, {"a": "aa"}) == [("x", "ok", "a", 3, 0.8, "AI-generated", "aa", 0)]


class Crowd:
    """A detector that finds one face that can be judged, and three that are too small."""

    name = "crowd"

    def detect(self, image: RGB) -> tuple[Face, ...]:
        return Face(Box(0, 0, 90, 90)), *(Face(Box(x, 100, 16, 20)) for x in (0, 40, 80))

    def smallest(self, image: RGB) -> int:
        return 1


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_faces_too_small_to_judge_are_counted(
    folder: Path, tmp_path: Path, models: list[Model], name: str
) -> None:
    out = tmp_path / name
    scan([str(folder)], Table(out), models=models[:1], detector=Crowd())
    with out.open(encoding="utf-8", newline="") as file:
        found = [*csv.DictReader(file)] if name == "out.csv" else [json.loads(t) for t in file]
    empty, one, three = ("", "1", "3") if name == "out.csv" else (None, 1, 3)
    assert [(row["status"], row["faces"], row["too_small"]) for row in found[1:]] == [
        ("ok", one, three)
    ] * 3
    assert (found[0]["status"], found[0]["too_small"]) == ("unreadable", empty)


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_the_small_faces_of_a_group_are_counted(
    tmp_path: Path, models: list[Model], name: str
) -> None:
    out = tmp_path / name
    group = CASES / "group_54_faces_too_small.jpg"
    scan([str(group)], Table(out), models=models[:1], detector=MTCNN())
    with out.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file) if name == "out.csv" else map(json.loads, file)
    assert int(row["faces"]) + int(row["too_small"]) == 54
    assert int(row["too_small"]) >= 51


def test_a_finished_scan_does_nothing_again(
    folder: Path, tmp_path: Path, run: Run, looked_at: list[object]
) -> None:
    run(folder)
    before = (tmp_path / "out.csv").read_bytes()
    looked_at.clear()
    summary = run(folder)
    assert looked_at == []
    assert (tmp_path / "out.csv").read_bytes() == before
    assert summary.counts == {Status.OK: 2, Status.NO_FACE: 1, Status.UNREADABLE: 1}
    assert (summary.read, summary.earlier) == (3, 4)


def test_another_model_is_added_alone(
    folder: Path, tmp_path: Path, run: Run, looked_at: list[tuple[bytes, list[str]]]
) -> None:
    run(folder, names="b")
    looked_at.clear()
    run(folder, names="ab")
    assert [names for _, names in looked_at] == [["a"]] * 4
    assert len(read(tmp_path / "out.csv")) == len(set(read(tmp_path / "out.csv"))) == 8


def test_killed_anywhere_it_ends_with_the_same_rows(
    folder: Path, tmp_path: Path, run: Run, looked_at: list[tuple[bytes, list[str]]]
) -> None:
    odd = folder / 'a "quoted", \n name.jpg'
    odd.write_bytes(b"")
    run(folder)
    whole = (tmp_path / "out.csv").read_bytes()
    second = whole.index(b"\n", len(HEADER))  # within the quoted name of the first row
    for kept in (0, 4, len(HEADER) - 1, len(HEADER), second, second + 1, second + 9,
                 len(whole) // 2, len(whole) - 1):  # fmt: skip
        (tmp_path / "out.csv").write_bytes(whole[:kept])
        run(folder)
        assert (tmp_path / "out.csv").read_bytes() == whole, kept
    looked_at.clear()
    (tmp_path / "out.csv").write_bytes(whole[:-1])
    run(folder)
    assert looked_at == [((folder / "sub/two.JPG").read_bytes(), ["b"])]


def test_rows_are_on_disk_before_the_file_counts_as_done(
    folder: Path, tmp_path: Path, models: list[Model], detector: Detector
) -> None:
    class Bar:
        lengths: ClassVar[list[int]] = []

        def __init__(self, total: float) -> None:
            self.total = total

        def update(self, n: float | None = 1) -> None:
            self.lengths.append(len((tmp_path / "out.csv").read_bytes().splitlines()))

        def close(self) -> None:
            self.lengths.append(int(self.total))

    table = Table(tmp_path / "out.csv")
    scan([str(folder)], table, models=models, detector=detector, progress=Bar)
    assert Bar.lengths == [3, 5, 7, 9, 4]


def test_ctrl_c_keeps_what_was_done(
    folder: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        real = pipeline.judge_bytes

        def stop(data: bytes, *rest: Any) -> Outcome:
            if data.startswith(b"\x89PNG"):
                raise KeyboardInterrupt
            return real(data, *rest)

        patch.setattr(pipeline, "judge_bytes", stop)
        with pytest.raises(KeyboardInterrupt):
            run(folder)
    assert [row[1] for row in read(tmp_path / "out.csv")] == ["unreadable"] * 2 + ["ok"] * 2
    assert run(folder).earlier == 2
    assert len(read(tmp_path / "out.csv")) == 8


@pytest.mark.parametrize(
    "name",
    [
        "comma, space.jpg",
        'quote".jpg',
        "line\nbreak.jpg",
        "carriage\rreturn.jpg",
        "Zoë 张伟.jpg",
        os.fsdecode(b"latin1 \xe9.jpg"),
        "'; drop.jpg",
        r"written like an escape \xE9.jpg",
        os.fsdecode(b"both \\xe9 \xe9.jpg"),
    ],
)
def test_odd_names_come_back_as_they_were(
    tmp_path: Path, portrait: Path, run: Run, looked_at: list[object], name: str
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    try:
        (folder / name).write_bytes(portrait.read_bytes())
    except OSError:
        pytest.skip("this file system does not take such a name")
    run(folder)
    cells = [row[0] for row in read(tmp_path / "out.csv")]
    assert cells == [spell(str(folder / name))] * 2
    assert to_path(cells[0]) == folder / name
    looked_at.clear()
    assert run(folder).earlier == 1
    assert looked_at == []


def test_no_path_is_a_formula(
    tmp_path: Path, portrait: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [
        "=1+1.jpg",
        "+x.jpg",
        "-x.jpg",
        "@x.jpg",
        "\t=x.jpg",
        "\uff1dx.jpg",
        "x.jpg",
        "été.jpg",
    ]
    for name in names:
        Path(name).write_bytes(portrait.read_bytes())
    run(*names, names="a")
    paths = [row[0] for row in read(tmp_path / "out.csv")]
    assert paths == [f"./{name}" for name in names[:6]] + names[6:]
    assert all(Path(path).exists() for path in paths)
    assert run(*names, names="a").earlier == len(names)


def test_a_table_in_the_scanned_folder_is_not_scanned(folder: Path, run: Run) -> None:
    for name in ("out.csv", "out.jpg"):
        out = folder / name
        assert run(folder, out, out=out).counts.total() == 4
        assert run(folder, out, out=out).earlier == 4


def test_files_that_cannot_be_read_are_counted_by_reason(tmp_path: Path, run: Run) -> None:
    for name in ("a", "b.jpg"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.jpg")  # which would be waited for for ever
    paths = [tmp_path / name for name in ("a", "b.jpg", "absent.jpg", "gone.jpg", "pipe.jpg")]
    summary = run(*paths)
    assert summary.read == 0
    assert summary.counts[Status.UNREADABLE] == 5
    assert sorted(group.count for group in summary.unreadable.values()) == [1, 2, 2]
    assert all(str(tmp_path) not in reason for reason in summary.unreadable)
    assert {row[1:] for row in read(tmp_path / "out.csv")} == {
        ("unreadable", name, "0", "", "", 2 * name, "") for name in "ab"
    }


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 2), (40, 40)])
def test_pictures_of_odd_sizes_do_not_stop_it(
    tmp_path: Path, run: Run, size: tuple[int, int]
) -> None:
    Image.new("RGB", size).save(tmp_path / "odd.png")
    assert run(tmp_path / "odd.png").counts == {Status.NO_FACE: 1}


def test_equal_files_are_judged_once(
    tmp_path: Path, portrait: Path, run: Run, looked_at: list[object]
) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(portrait.read_bytes())
    (tmp_path / "d.jpg").write_bytes(b"")
    (tmp_path / "e.jpg").write_bytes(b"")
    assert run(tmp_path).counts == {Status.OK: 3, Status.UNREADABLE: 2}
    assert len(looked_at) == 2
    found = read(tmp_path / "out.csv")
    assert [Path(row[0]).name for row in found] == [f"{n}.jpg" for n in "aabbccddee"]
    assert len({row[1:] for row in found[:6]}) == 2


def test_another_version_of_a_model_is_another_model(
    folder: Path, tmp_path: Path, models: list[Model], detector: Detector
) -> None:
    table = tmp_path / "out.csv"
    scan([str(folder)], Table(table), models=models[:1], detector=detector)
    newer = tiny("a", -3.0, "a2")
    assert scan([str(folder)], Table(table), models=[newer], detector=detector).earlier == 0
    found = read(table)
    assert [row[6] for row in found] == ["aa"] * 4 + ["a2"] * 4
    assert [row[5] for row in found if row[1] == "ok"] == ["AI-generated"] * 2 + ["real"] * 2
    assert scan([str(folder)], Table(table), models=models[:1], detector=detector).earlier == 4
    assert read(table) == found


def test_a_table_of_0_8_0_is_continued_and_its_rows_count_for_no_weights(
    folder: Path, tmp_path: Path, run: Run
) -> None:
    old = (
        "path,status,model,faces,p_fake,verdict\n"
        f"{folder}/one.jpg,ok,a,1,0.1000,real\n{folder}/plain.png,no_face,a,0,,\n"
    )
    lost = tmp_path / os.fsdecode(b"lost \xe9.jpg")
    data = old.encode() + os.fsencode(f"{lost},unreadable,a,0,,\n")
    (tmp_path / "out.csv").write_bytes(data + b"cut off")
    assert run(folder, names="a").earlier == 0
    found = read(tmp_path / "out.csv")
    assert found[:3] == [
        (f"{folder}/one.jpg", "ok", "a", "1", "0.1000", "real", "", ""),
        (f"{folder}/plain.png", "no_face", "a", "0", "", "", "", ""),
        (spell(str(lost)), "unreadable", "a", "0", "", "", "", ""),
    ]
    assert [row[6] for row in found[3:]] == ["aa"] * 4


@pytest.fixture(scope="module")
def judges(models: list[Model]) -> list[Model]:
    """Two models, of which the first gives each face a logit of its own."""
    untrained = tiny("c", 0.0, "cc")
    torch.manual_seed(0)
    torch.nn.init.normal_(untrained.head.weight, std=0.05)
    return [untrained, models[0]]


@pytest.fixture(scope="module")
def turned(
    tmp_path_factory: pytest.TempPathFactory,
    portrait: Path,
    judges: list[Model],
    detector: Detector,
) -> tuple[Path, list[Row]]:
    """A folder of portraits, one of them empty, and the rows of single analyses."""
    folder = tmp_path_factory.mktemp("turned")
    with Image.open(portrait) as image:
        for i in range(9):
            image.rotate(i, fillcolor="white").save(folder / f"{i}.jpg")
    (folder / "5.jpg").write_bytes(b"")
    weights = {m.name: m.sha256 for m in judges}
    analyses = [
        analyse_file(path, models=judges, detector=detector) for path in sorted(folder.iterdir())
    ]
    return folder, [row for found in analyses for row in rows(found, weights)]


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_the_rows_are_those_of_single_analyses_in_order(
    tmp_path: Path,
    turned: tuple[Path, list[Row]],
    judges: list[Model],
    detector: Detector,
    workers: int,
) -> None:
    folder, expected = turned
    table = Table(tmp_path / "out.csv")
    scan([str(folder)], table, models=judges, detector=detector, workers=workers)
    found = read(tmp_path / "out.csv")
    assert len({row[4] for row in found}) > 5
    assert [row[:4] + row[5:] for row in found] == [
        tuple("" if cell is None else str(cell) for cell in own[:4] + own[5:]) for own in expected
    ]
    for row, own in zip(found, expected):
        assert float(row[4] or -1) == pytest.approx(
            -1 if own.p_fake is None else own.p_fake, abs=2e-4
        )


def test_no_more_than_a_few_files_are_in_memory(
    tmp_path: Path, portrait: Path, models: list[Model], detector: Detector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for i in range(30):
        (tmp_path / f"{i:02}.jpg").write_bytes(portrait.read_bytes() + bytes([i]))
    written, ahead = 0, []
    real = pipeline.judge_bytes

    def count(data: bytes, *rest: Any) -> Outcome:
        ahead.append(data[-1] - written)
        return real(data, *rest)

    class Bar:
        def __init__(self, total: float) -> None:
            self.total = total

        def update(self, n: float | None = 1) -> None:
            nonlocal written
            written += 1

        def close(self) -> None:
            assert self.total == 30

    monkeypatch.setattr(pipeline, "judge_bytes", count)
    table = Table(tmp_path / "out.csv")
    scan([str(tmp_path)], table, models=models[:1], detector=detector, workers=2, progress=Bar)
    assert len(ahead) == 30
    assert 0 < max(ahead) <= 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.usefixtures("_judged_once")
def test_kill_9_loses_no_row_and_doubles_none(
    tmp_path: Path, portrait: Path, models: list[Model], detector: Detector
) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out.csv"
    folder.mkdir()
    for i in range(12):
        (folder / f"{i:02}.jpg").write_bytes(portrait.read_bytes() + bytes([i]))
    scan([str(folder)], Table(tmp_path / "whole.csv"), models=models[:1], detector=detector)
    child = os.fork()
    if child == 0:
        try:
            scan_until_killed(folder, out, models[:1], detector)
        finally:
            os._exit(1)
    while not out.exists() or out.read_bytes().count(b"\n") < 7:
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "it ended by itself"
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    before = out.read_bytes()
    assert before.count(b"\n") == 7
    assert scan([str(folder)], Table(out), models=models[:1], detector=detector).earlier == 6
    assert out.read_bytes().startswith(before)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def scan_until_killed(folder: Path, out: Path, models: list[Model], detector: Detector) -> None:
    """Scan, and wait for ever at the seventh picture."""
    real = pipeline.judge_bytes

    def judge(data: bytes, *rest: Any) -> Outcome:
        if data[-1] >= 6:
            threading.Event().wait()
        return real(data, *rest)

    pipeline.judge_bytes = judge
    scan([str(folder)], Table(out), models=models, detector=detector)


def test_the_columns_are_those_of_the_documentation() -> None:
    text = (Path(fakeface.__file__).parents[1] / "docs/scan.md").read_text(encoding="utf-8")
    table = text.partition("## The table")[2].partition("\n- ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(COLUMNS)
