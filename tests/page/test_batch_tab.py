"""The handler of Batch: every file is a row, whatever becomes of it."""

from __future__ import annotations

import csv
import json
import zipfile
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest

from fakeface import scan
from fakeface.page import batch as tab
from fakeface.page.batch import judge_batch
from tests.page.helpers import EVIL, Send, files_in


def archive(files: dict[str, bytes]) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return out.getvalue()


def last(sent: dict[str, Any] | None, model: str = "") -> dict[str, Any]:
    """The table when the batch is done."""
    *_, value = judge_batch(sent, model)
    return value


def test_nothing_was_sent(untrained: Path) -> None:
    (value,) = judge_batch(None, "")
    assert (value["rows"], value["done"], value["total"]) == ([], 0, 0)
    (value,) = judge_batch({"files": []}, "")
    assert value["total"] == 0


def test_an_upload_that_vanished_is_one_row(
    untrained: Path, portrait: bytes, send: Send, uploads: Path
) -> None:
    gone = send(portrait, "gone.jpg")
    Path(gone["path"]).unlink()
    value = last({"files": [send(portrait, "a.jpg"), gone, send(portrait, "c.jpg")]})
    assert [(row["file"], row["status"]) for row in value["rows"]] == [
        ("a.jpg", "ok"),
        ("gone.jpg", "unreadable"),
        ("c.jpg", "ok"),
    ]
    assert value["rows"][1]["note"] == "This picture is no longer on the server; choose it again."
    assert (value["done"], value["total"], value.get("message")) == (3, 3, None)
    assert files_in(uploads) == []


def test_a_forged_upload_is_one_row(
    untrained: Path, portrait: bytes, send: Send, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(portrait)
    value = last({"files": [{"path": str(secret)}, {}, send(portrait)]})
    assert [row["status"] for row in value["rows"]] == ["unreadable", "unreadable", "ok"]
    assert secret.exists()


def test_a_table_grows(
    untrained: Path, portrait: bytes, send: Send, monkeypatch: pytest.MonkeyPatch, uploads: Path
) -> None:
    monkeypatch.setattr(tab, "PAUSE", -1.0)
    files = [send(portrait, f"{number}.jpg") for number in range(3)]
    seen = [value["done"] for value in judge_batch({"files": files}, "")]
    assert seen == [0, 1, 2, 3, 3]
    assert files_in(uploads) == []


def test_a_batch_that_is_stopped_deletes_its_uploads(
    untrained: Path, portrait: bytes, send: Send, uploads: Path
) -> None:
    going = judge_batch({"files": [send(portrait), send(portrait)]}, "")
    assert next(going)["done"] == 0
    assert len(files_in(uploads)) == 2
    going.close()
    assert files_in(uploads) == []


def test_archives_and_bad_files_are_rows(
    untrained: Path, portrait: bytes, send: Send, uploads: Path
) -> None:
    packed = archive({"../made.jpg": portrait, "text.jpg": b"text", "b.zip": archive({"c": b""})})
    files = [send(portrait, EVIL), send(packed, "all.zip"), send(b"PK\x03\x04 damaged", "z.zip")]
    value = last({"files": files, "earlier": [send(b"given up")]}, "untrained")
    rows = value["rows"]
    assert [(row["file"], row["status"]) for row in rows] == [
        (EVIL, "ok"),
        ("all.zip/../made.jpg", "ok"),
        ("all.zip/text.jpg", "unreadable"),
        ("all.zip/b.zip", "unreadable"),
        ("z.zip", "unreadable"),
    ]
    assert all(row["note"] for row in rows[2:])
    assert [bool(row["thumbnail"]) for row in rows] == [True, True, False, False, False]
    text = value["header"] + "".join(row["csv"] for row in rows)
    assert text.startswith("\ufeff")  # by which Excel knows that it is UTF-8
    table = list(csv.reader(StringIO(text.removeprefix("\ufeff"))))
    assert tuple(table[0]) == scan.COLUMNS
    assert [row[-1] for row in table[1:]] == ["0", "0", "", "", ""]  # too_small
    assert table[1][0] == f"./{EVIL}"  # as `scan` writes what might be a formula
    assert json.dumps([row["json"] for row in rows])
    assert rows[0]["json"]["file"] == EVIL
    assert files_in(uploads) == []


def test_a_model_that_cannot_be_loaded_ends_the_batch_with_a_sentence(
    untrained: Path, portrait: bytes, send: Send, uploads: Path
) -> None:
    value = last({"files": [send(portrait)]}, "nonesuch")
    assert "There is no model 'nonesuch'" in value["message"]
    weights = untrained / "untrained" / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"\n")
    value = last({"files": [send(portrait)]})
    assert "checksum" in value["message"]
    assert str(untrained) not in value["message"]
    assert files_in(uploads) == []


def test_a_fault_of_ours_is_a_sentence(
    untrained: Path,
    portrait: bytes,
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(tab, "make_row", broken)
    value = last({"files": [send(portrait)]})
    assert value["message"] == "Something went wrong in fakeface itself; try another batch."
    assert len(caplog.records) == 1
