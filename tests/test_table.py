"""The table of a scan: what it continues, what it refuses, and who may write it."""

from __future__ import annotations

import csv
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fakeface
from fakeface.scan import COLUMNS, Row, header, line
from fakeface.scan.lock import TableError, lock
from fakeface.scan.rows import Csv, JsonLines
from fakeface.scan.table import Table
from fakeface.types import Status

HEADER = "path,status,model,faces,p_fake,verdict,weights,too_small\n"
OLD = "path,status,model,faces,p_fake,verdict\n"  # of 0.8.0
ONE = Row("one.jpg", "ok", "a", 1, 0.25, "real", "aa", 2)
TWO = Row('t"w,o\n.jpg', "no_face", "a", 0, None, None, "aa", 0)
BAD = Row("bad.jpg", "unreadable", "a", 0, None, None, "aa")
NAMES = ("out.csv", "out.jsonl", "out.parquet")


def write(path: Path, *rows: Row, bom: bool = False) -> dict[tuple[str, str, str], Status]:
    with Table(path, bom=bom) as table:
        for row in rows:
            table.append([row])
        return table.done


def read(path: Path) -> list[Row]:
    """By other means than the package's own."""
    if path.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        return [Row(**cells) for cells in parquet.read_table(path).to_pylist()]
    if path.suffix == ".jsonl":
        return [Row(**json.loads(text)) for text in path.read_text("utf-8").splitlines()]
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [
            Row(**cells | {
                "faces": int(cells["faces"]),
                "p_fake": float(cells["p_fake"]) if cells["p_fake"] else None,
                "verdict": cells["verdict"] or None,
                "too_small": int(cells["too_small"]) if cells["too_small"] else None,
            })
            for cells in csv.DictReader(file)
        ]  # fmt: skip


@pytest.fixture(params=NAMES)
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param.endswith("parquet"):
        pytest.importorskip("pyarrow")
    return tmp_path / request.param


def test_rows_come_back_and_go_on(out: Path) -> None:
    assert write(out, ONE) == {}
    assert read(out) == [ONE]
    assert write(out, TWO) == {("one.jpg", "a", "aa"): Status.OK}
    assert read(out) == [ONE, TWO]
    assert write(out) == {
        ("one.jpg", "a", "aa"): Status.OK,
        (TWO.path, "a", "aa"): Status.NO_FACE,
    }
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_csv_to_the_letter(tmp_path: Path) -> None:
    write(tmp_path / "out.csv", ONE, TWO, BAD)
    assert (tmp_path / "out.csv").read_text() == HEADER + (
        'one.jpg,ok,a,1,0.2500,real,aa,2\n"t""w,o\n.jpg",no_face,a,0,,,aa,0\n'
        "bad.jpg,unreadable,a,0,,,aa,\n"
    )


def test_a_count_of_small_faces_that_is_not_known_is_read_back_so(out: Path) -> None:
    write(out, ONE, BAD, TWO)
    assert [row.too_small for row in read(out)] == [2, None, 0]
    if out.suffix == ".csv":
        write(out, bom=True)  # reads its rows and writes them anew
        assert [row.too_small for row in Csv().decode(out.read_bytes()).rows] == [2, None, 0]
    elif out.suffix == ".parquet":
        write(out)  # likewise
        assert read(out) == [ONE, BAD, TWO]
    else:
        assert JsonLines().decode(out.read_bytes()).rows == [ONE, BAD, TWO]


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_cut_anywhere_whole_rows_stay(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, ONE, TWO)
    whole = (tmp_path / name).read_bytes()
    for size in range(len(whole)):
        (tmp_path / name).write_bytes(whole[:size])
        done = write(tmp_path / name)
        write(tmp_path / name, *(row for row in (ONE, TWO) if (row.path, "a", "aa") not in done))
        assert (tmp_path / name).read_bytes() == whole, size


def test_rows_of_a_killed_scan_come_into_the_parquet_file_once(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    out, part = tmp_path / "out.parquet", tmp_path / "out.parquet.part.jsonl"
    write(out, ONE)
    table = Table(out)
    table.__enter__()
    table.append([TWO])
    kept = part.read_bytes()  # what a kill leaves
    table.__exit__(None, None, None)
    assert not part.exists()
    part.write_bytes(kept + b'{"path": "cut')
    assert len(write(out)) == 2
    assert read(out) == [ONE, TWO]


@pytest.mark.parametrize(
    "content",
    [
        "path,status\n",
        HEADER.replace("\n", "\r\n"),
        HEADER.replace("weights", "weight"),
        OLD + "only,three,cells\nx,ok,a,1,0.5,real\n",
        HEADER + "x,fine,a,1,0.5,real,aa,0\n",
        HEADER + "x,ok,a,one,0.5,real,aa,0\n",
        HEADER + "x,ok,a,1,0.5,real,aa,two\n",
        "\n" + HEADER,
        "my only copy of something",
        "my only copy of something\n",
        b"\x89PNG\r\n\x1a\n\0\xff",
        b"\xff" + HEADER.encode(),
        '{"path": "x", "status": "ok", "model": "a", "faces": 1, "other": 2}\n',
        '{"path": 1}\n',
        "[1]\n",
        "7\n",
    ],
)
def test_any_other_file_is_refused_and_left_alone(out: Path, content: str | bytes) -> None:
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
    with pytest.raises(TableError, match="only a CSV"):
        Table(tmp_path / "out.jsonl", bom=True)


def test_parquet_without_pyarrow_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(TableError, match="pip install pyarrow"):
        Table(tmp_path / "out.parquet")


def test_a_byte_order_mark_is_written_once_and_kept(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    umlaut = ONE._replace(path="Zoë Müller.jpg")
    write(out, umlaut, bom=True)
    assert (
        out.read_bytes()
        == b"\xef\xbb\xbf" + (HEADER + "Zoë Müller.jpg,ok,a,1,0.2500,real,aa,2\n").encode()
    )
    assert len(write(out, TWO)) == 1
    assert len(write(out, bom=True)) == 2
    assert out.read_bytes().count(b"\xef\xbb\xbf") == 1
    assert read(out) == [umlaut, TWO]
    assert header(bom=True) == b"\xef\xbb\xbf" + HEADER.encode()


def test_a_byte_order_mark_can_be_added_later(tmp_path: Path) -> None:
    write(tmp_path / "out.csv", ONE)
    assert len(write(tmp_path / "out.csv", bom=True)) == 1
    assert (tmp_path / "out.csv").read_bytes().startswith(b"\xef\xbb\xbfpath,")
    assert read(tmp_path / "out.csv") == [ONE]


def test_a_table_of_0_8_0_gets_the_new_columns(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_bytes(OLD.encode() + b"one.jpg,ok,a,1,0.2500,real\nlatin1 \xe9.jpg,no_face,a,0,,\n")
    assert set(write(out, ONE)) == {("one.jpg", "a", ""), (r"latin1 \xE9.jpg", "a", "")}
    assert out.read_text("utf-8") == HEADER + (
        "one.jpg,ok,a,1,0.2500,real,,\nlatin1 \\xE9.jpg,no_face,a,0,,,,\n"
        "one.jpg,ok,a,1,0.2500,real,aa,2\n"
    )


HOLD = """
import sys, time
from pathlib import Path
from fakeface.scan import Row
from fakeface.scan.table import Table
with Table(Path(sys.argv[1])) as table:
    table.append([Row("one.jpg", "ok", "a", 1, 0.25, "real", "aa", 2)])
    print("ready", flush=True)
    time.sleep(60)
"""


def test_the_second_is_told_who_has_the_table_and_goes_on_after_a_kill(out: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out)],
        stdout=subprocess.PIPE,
        cwd=Path(fakeface.__file__).parents[1],
    )
    with first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"ready\n"
        with pytest.raises(TableError) as told, Table(out):
            pass
        assert f"another scan (process {first.pid} on " in str(told.value)
        assert ", since 20" in str(told.value)
        first.kill()
    assert write(out, TWO) == {("one.jpg", "a", "aa"): Status.OK}
    assert read(out) == [ONE, TWO]


def test_a_link_to_a_table_is_that_table(tmp_path: Path) -> None:
    write(tmp_path / "out.csv", ONE)
    (tmp_path / "link.csv").symlink_to("out.csv")
    with lock(tmp_path / "out.csv"), pytest.raises(TableError, match="another scan"):
        write(tmp_path / "link.csv")
    write(tmp_path / "link.csv", TWO, bom=True)  # which replaces the file
    assert (tmp_path / "link.csv").is_symlink()
    assert read(tmp_path / "out.csv") == [ONE, TWO]


def test_what_another_scan_wrote_in_between_is_seen(out: Path) -> None:
    early = Table(out)  # before its models are loaded
    write(out, ONE)
    with early:
        assert early.done == {("one.jpg", "a", "aa"): Status.OK}
        early.append([TWO])
    assert read(out) == [ONE, TWO]


def test_a_full_disk_keeps_the_old_table_where_it_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.csv"
    out.write_text(OLD + "one.jpg,ok,a,1,0.2500,real\n")

    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(TableError, match=r"cannot be written .*No space left"):
            write(out)
    assert out.read_text() == OLD + "one.jpg,ok,a,1,0.2500,real\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_takes_no_files_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(TableError, match=r"cannot be written \(Permission denied"):
        write(tmp_path / "out.csv")


def test_a_folder_that_refuses_files_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refuse(path: object, flags: int, *rest: int, **more: int) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags, *rest, **more)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(TableError, match=r"cannot be written \(Permission denied"):
        write(tmp_path / "out.csv")


def test_the_page_writes_the_same_header() -> None:
    assert line(COLUMNS) == HEADER.encode()
