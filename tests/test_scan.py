"""Many files into a table that survives being stopped, odd names and odd files."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image

from fakeface import analyse
from fakeface.faces import Detector, Haar
from fakeface.models.backbones import build
from fakeface.models.calibrate import Calibration
from fakeface.models.engine import Model
from fakeface.models.preprocess import Preprocessing
from fakeface.scan import COLUMNS, Summary, Table, TableError, find, rows, scan
from fakeface.types import Analysis, Box, Face, FaceReport, Score, Status, Verdict
from tests.conftest import card

HEADER = "path,status,model,faces,p_fake,verdict\n"


def tiny(name: str, logit: float) -> Model:
    """A network that gives every face that logit."""
    network = build("mobilenetv2_100")
    torch.nn.init.constant_(network.get_submodule("classifier").bias, logit)  # type: ignore[arg-type]
    how = Preprocessing(64, 0.3, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    facts = card(name, preprocessing=how, calibration=Calibration(1.0, 0.3, 0.7))
    return Model(facts, network, "cpu")


@pytest.fixture(scope="module")
def models() -> list[Model]:
    return [tiny("a", 1.0), tiny("b", -1.0)]


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
    for name in ("one.jpg", "sub/two.JPG"):
        (root / name).write_bytes(portrait.read_bytes())
    Image.fromarray(np.full((80, 80, 3), 200, np.uint8)).save(root / "plain.png")
    (root / "broken.jpg").write_bytes(b"not a picture")
    return root


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """Which files are analysed, and by which models."""
    seen: list[tuple[str, list[str]]] = []
    real = analyse.analyse_file

    def spy(path: Path, *, models: list[Model], detector: Detector) -> Analysis:
        seen.append((path.name, [m.name for m in models]))
        return real(path, models=models, detector=detector)

    monkeypatch.setattr(analyse, "analyse_file", spy)
    return seen


def read(table: Path) -> list[tuple[str, ...]]:
    with table.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        head, *body = csv.reader(file)
    assert tuple(head) == COLUMNS
    return [tuple(row) for row in body]


Run = Callable[..., Summary]


@pytest.fixture
def run(tmp_path: Path, models: list[Model], detector: Detector) -> Run:
    def run(*paths: Path, names: str = "ab", out: Path = tmp_path / "out.csv") -> Summary:
        chosen = [next(m for m in models if m.name == name) for name in names]
        return scan(paths, Table(out), models=chosen, detector=detector)

    return run


def test_one_row_a_file_and_model(folder: Path, tmp_path: Path, run: Run) -> None:
    summary = run(folder)
    assert read(tmp_path / "out.csv") == [
        (str(folder / "broken.jpg"), "unreadable", "a", "0", "", ""),
        (str(folder / "broken.jpg"), "unreadable", "b", "0", "", ""),
        (str(folder / "one.jpg"), "ok", "a", "1", "0.7311", "AI-generated"),
        (str(folder / "one.jpg"), "ok", "b", "1", "0.2689", "real"),
        (str(folder / "plain.png"), "no_face", "a", "0", "", ""),
        (str(folder / "plain.png"), "no_face", "b", "0", "", ""),
        (str(folder / "sub/two.JPG"), "ok", "a", "1", "0.7311", "AI-generated"),
        (str(folder / "sub/two.JPG"), "ok", "b", "1", "0.2689", "real"),
    ]
    assert (tmp_path / "out.csv").read_bytes().startswith(HEADER.encode())
    assert summary.counts == {Status.OK: 2, Status.NO_FACE: 1, Status.UNREADABLE: 1}
    assert (summary.read, summary.earlier) == (3, 0)
    ((reason, paths),) = summary.reasons.items()
    assert "no picture" in reason
    assert paths == [str(folder / "broken.jpg")]


def test_the_row_is_that_of_the_most_suspicious_face() -> None:
    faces = tuple(
        FaceReport(Face(Box(x, 0, 9, 9)), (Score("a", 0, p, v),))
        for x, p, v in ((0, 0.25, Verdict.REAL), (9, 0.8, Verdict.FAKE), (18, 0.5, Verdict.UNSURE))
    )
    found = Analysis("x", "", Status.OK, 27, 9, "haar", ("a",), faces)
    assert rows(found) == [("x", "ok", "a", "3", "0.8000", "AI-generated")]


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
    folder: Path, tmp_path: Path, run: Run, looked_at: list[tuple[str, list[str]]]
) -> None:
    run(folder, names="b")
    looked_at.clear()
    run(folder, names="ab")
    assert [names for _, names in looked_at] == [["a"]] * 4
    assert len(read(tmp_path / "out.csv")) == len(set(read(tmp_path / "out.csv"))) == 8


def test_killed_anywhere_it_ends_with_the_same_rows(
    folder: Path, tmp_path: Path, run: Run, looked_at: list[tuple[str, list[str]]]
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
    assert looked_at == [("two.JPG", ["b"])]


def test_rows_are_on_disk_before_the_next_file(
    folder: Path, tmp_path: Path, models: list[Model], detector: Detector
) -> None:
    out, lengths = tmp_path / "out.csv", []

    def progress(files: list[Path]) -> Iterator[Path]:
        for path in files:
            lengths.append(len(out.read_bytes().splitlines()))
            yield path

    scan([folder], Table(out), models=models, detector=detector, progress=progress)  # type: ignore[arg-type]
    assert lengths == [1, 3, 5, 7]


def test_ctrl_c_keeps_what_was_done(
    folder: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        real = analyse.analyse_file

        def stop(path: Path, *, models: list[Model], detector: Detector) -> Analysis:
            if path.name == "plain.png":
                raise KeyboardInterrupt
            return real(path, models=models, detector=detector)

        patch.setattr(analyse, "analyse_file", stop)
        with pytest.raises(KeyboardInterrupt):
            run(folder)
    assert [row[1] for row in read(tmp_path / "out.csv")] == ["unreadable"] * 2 + ["ok"] * 2
    assert run(folder).earlier == 2
    assert len(read(tmp_path / "out.csv")) == 8


@pytest.mark.parametrize(
    "content",
    [
        "path,status\n",
        HEADER.replace("\n", "\r\n"),
        "\ufeff" + HEADER,
        HEADER + "only,three,cells\nx,ok,a,1,0.5,real\n",
        HEADER + "x,fine,a,1,0.5,real\n",
        "my only copy of something",
        b"\x89PNG\r\n\x1a\n\0\xff",
    ],
)
def test_any_other_file_is_refused_and_left_alone(tmp_path: Path, content: str | bytes) -> None:
    out = tmp_path / "out.csv"
    data = content if isinstance(content, bytes) else content.encode()
    out.write_bytes(data)
    with pytest.raises(TableError, match="is not a table of this command; name another file"):
        Table(out)
    assert out.read_bytes() == data


def test_places_where_no_table_can_be(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="there is no folder"):
        Table(tmp_path / "absent" / "out.csv")
    with pytest.raises(TableError, match="no ordinary file"):
        Table(tmp_path)
    with pytest.raises(TableError, match="name too long"):
        Table(tmp_path / ("x" * 300))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_or_a_device_is_told(tmp_path: Path) -> None:
    (tmp_path / "out.csv").symlink_to("/dev/full")
    with pytest.raises(TableError, match="no ordinary file"):
        Table(tmp_path / "out.csv")
    table = Table(tmp_path / "other.csv")
    table._file = FileIO("/dev/full", "ab")
    with pytest.raises(TableError, match=r"cannot be written .*No space left"):
        table.append([COLUMNS])


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
    assert [row[0] for row in read(tmp_path / "out.csv")] == [str(folder / name)] * 2
    assert os.fsencode(name).replace(b'"', b'""') in (tmp_path / "out.csv").read_bytes()
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
    run(*map(Path, names), names="a")
    paths = [row[0] for row in read(tmp_path / "out.csv")]
    assert paths == [f"./{name}" for name in names[:6]] + names[6:]
    assert all(Path(path).exists() for path in paths)
    assert run(*map(Path, names), names="a").earlier == len(names)


def test_which_files_are_found(tmp_path: Path) -> None:
    for name in (
        "b.png", "a.JPEG", "notes.txt", ".hidden.jpg", "noext", ".git/x.jpg", "sub/c.webp",
        "sub/d.avif", "again/x.jpg",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "sub/up").symlink_to("..")
    (tmp_path / "self.jpg").symlink_to("self.jpg")
    found = [str(path.relative_to(tmp_path)) for path in find([tmp_path])]
    assert found == ["a.JPEG", "b.png", "self.jpg", "again/x.jpg", "sub/c.webp", "sub/d.avif"]
    # Named ones always count, once; a folder that is named may be hidden, or a link.
    named = [tmp_path / n for n in ("notes.txt", "absent.jpg", "sub/c.webp", "sub", ".git")]
    found = [str(path.relative_to(tmp_path)) for path in find(named)]
    assert found == ["notes.txt", "absent.jpg", "sub/c.webp", "sub/d.avif", ".git/x.jpg"]
    assert len(find([tmp_path / "loop"])) == 6
    assert find([tmp_path / ("x" * 300)]) == [tmp_path / ("x" * 300)]


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
    assert sorted(len(paths) for paths in summary.reasons.values()) == [1, 2, 2]
    assert all(str(tmp_path) not in reason for reason in summary.reasons)
    assert {row[1:] for row in read(tmp_path / "out.csv")} == {
        ("unreadable", name, "0", "", "") for name in "ab"
    }


def test_a_folder_that_cannot_be_listed_is_told(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    summary = run(folder)
    assert summary.reasons["This folder cannot be listed (Permission denied)."] == [
        str(folder / "sub")
    ]
    assert summary.counts.total() == 3


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 2), (40, 40)])
def test_pictures_of_odd_sizes_do_not_stop_it(
    tmp_path: Path, run: Run, size: tuple[int, int]
) -> None:
    Image.new("RGB", size).save(tmp_path / "odd.png")
    assert run(tmp_path / "odd.png").counts == {Status.NO_FACE: 1}
