"""Batches: what a stranger's archive may hold, and what becomes of it."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import pytest

from fakeface import batch
from fakeface.images import decoder as images
from fakeface.types import DamagedImage, ImageError, ImageTooLarge, UnsupportedFormat

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4  # enough of one for what is only read


def packed(files: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def read(path: Path, data: bytes) -> list[tuple[str, bytes | ImageError]]:
    """The items of one file, each with its bytes or the reason why there are none."""
    path.write_bytes(data)
    found: list[tuple[str, bytes | ImageError]] = []
    with batch.open_items([(path, "a.zip")]) as items:
        for item in items:
            try:
                found.append((item.name, item.read()))
            except ImageError as error:
                found.append((item.name, error))
    return found


def only_error(found: list[tuple[str, bytes | ImageError]]) -> ImageError:
    ((_, error),) = found
    assert isinstance(error, ImageError), error
    assert str(error).endswith(".") and str(error).count(". ") == 0  # one sentence
    return error


def test_files_are_read_as_they_are(tmp_path):
    (tmp_path / "one").write_bytes(JPEG)
    (tmp_path / "two").write_bytes(b"")
    with batch.open_items([(tmp_path / "one", "a.jpg"), (tmp_path / "two", "b.jpg")]) as items:
        assert [(item.name, item.read()) for item in items] == [("a.jpg", JPEG), ("b.jpg", b"")]


def test_a_file_that_vanished_costs_only_itself(tmp_path):
    (tmp_path / "here").write_bytes(b"here")
    gone = tmp_path / "gone"
    with batch.open_items([(gone, "a.jpg"), (tmp_path / "here", "b.jpg")]) as items:
        assert [item.name for item in items] == ["a.jpg", "b.jpg"]
        with pytest.raises(ImageError, match="no longer there; choose it again"):
            items[0].read()
        assert items[1].read() == b"here"
        (tmp_path / "here").unlink()
        with pytest.raises(ImageError, match="no longer there; choose it again"):
            items[1].read()


def test_an_archive_stands_for_the_files_in_it(tmp_path):
    files = {
        "b.jpg": JPEG,
        "folder/": b"",
        "folder/a.png": b"\x89PNG",
        "notes.txt": b"no picture",
        ".DS_Store": b"x",
        "__MACOSX/._b.jpg": b"x",
        "folder/Thumbs.db": b"x",
    }
    assert read(tmp_path / "a", packed(files)) == [
        ("a.zip/b.jpg", JPEG),
        ("a.zip/folder/a.png", b"\x89PNG"),
        ("a.zip/notes.txt", b"no picture"),
    ]


def test_names_that_point_elsewhere_are_only_names(tmp_path):
    folder = tmp_path / "deep" / "deeper"
    folder.mkdir(parents=True)
    evil = ("../../evil.jpg", "/etc/evil.jpg", "C:\\evil.jpg", "..\\..\\evil.jpg", ".\\good.jpg")
    files = dict.fromkeys(evil, JPEG)
    before = sorted(tmp_path.rglob("*"))
    found = read(folder / "a", packed(files))
    assert [data for _, data in found] == [JPEG] * len(evil)
    assert sorted(tmp_path.rglob("*")) == [*before, folder / "a"]
    assert not Path("/etc/evil.jpg").exists()


def test_a_file_without_a_name_costs_nothing(tmp_path):
    data = packed({"only.jpg": b"one", "b.jpg": JPEG}).replace(b"only", b"\0nly")
    assert [data for _, data in read(tmp_path / "a", data)] == [b"one", JPEG]


def test_an_encrypted_file_costs_only_itself(tmp_path):
    data = bytearray(packed({"a.jpg": JPEG, "b.jpg": JPEG}))
    data[6] |= 1  # the flag of the first file, in its own header and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (_, error), other = read(tmp_path / "a", bytes(data))
    assert isinstance(error, UnsupportedFormat) and "encrypted" in str(error)
    assert other == ("a.zip/b.jpg", JPEG)


def test_an_archive_in_an_archive_is_not_opened(tmp_path):
    error = only_error(read(tmp_path / "a", packed({"b.zip": packed({"c.jpg": JPEG})})))
    assert isinstance(error, UnsupportedFormat) and "archive in an archive" in str(error)


def test_a_file_that_unpacks_to_too_much_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 1000)
    data = packed({"a.jpg": bytes(1001), "b.jpg": bytes(1000)})
    (_, error), (_, small) = read(tmp_path / "a", data)
    assert isinstance(error, ImageTooLarge)
    assert small == bytes(1000)


def test_an_archive_that_unpacks_to_too_much_is_read_up_to_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "MAX_UNPACKED", 2500)
    found = read(tmp_path / "a", packed({f"{i}.jpg": bytes(1000) for i in range(4)}))
    assert [data for _, data in found[:2]] == [bytes(1000)] * 2
    assert all(isinstance(e, ImageTooLarge) and "unpacks" in str(e) for _, e in found[2:])


def test_a_header_that_lies_about_the_size_gets_no_more_than_it_says(tmp_path):
    data = bytearray(packed({"a.jpg": bytes(5_000_000)}))
    start = data.index(b"PK\x01\x02")
    assert struct.unpack_from("<I", data, start + 24) == (5_000_000,)
    struct.pack_into("<I", data, start + 24, 10)
    assert isinstance(only_error(read(tmp_path / "a", bytes(data))), DamagedImage)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_packing_is_refused(tmp_path, method):
    error = only_error(read(tmp_path / "a", packed({"a.jpg": JPEG}, method=method)))
    assert isinstance(error, UnsupportedFormat) and "plain ZIP" in str(error)


def test_a_long_directory_is_refused_before_it_is_parsed(tmp_path, monkeypatch):
    data = packed({f"{i}.jpg": b"" for i in range(40)})
    monkeypatch.setattr(batch, "_MAX_DIRECTORY", 1000)
    monkeypatch.setattr(zipfile, "ZipFile", None)  # whoever called it would fail
    assert isinstance(only_error(read(tmp_path / "a", data)), ImageTooLarge)


def test_zip64_which_may_hold_any_number_is_refused(tmp_path, monkeypatch):
    end = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 10**6, 10**6, 5 * 10**7, 0)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, 4, 1)
    last = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 0, 0, 0, 0, 0)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    data = b"PK\x03\x04" + end + locator + last
    assert isinstance(only_error(read(tmp_path / "a", data)), ImageTooLarge)


def test_too_large_an_archive_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "MAX_ARCHIVE", 100)
    assert isinstance(only_error(read(tmp_path / "a", packed({"a.jpg": JPEG}))), ImageTooLarge)


def test_more_files_than_a_batch_holds_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "MAX_FILES", 3)
    found = read(tmp_path / "a", packed({f"{i}.jpg": JPEG for i in range(5)}))
    assert [data for _, data in found[:3]] == [JPEG] * 3
    ((name, error),) = found[3:]
    assert name == "2 more files"
    assert isinstance(error, ImageTooLarge)


@pytest.mark.parametrize("keep", [4, 30, 200])
def test_a_truncated_archive_is_one_sentence(tmp_path, keep):
    data = packed({"a.jpg": JPEG, "b.jpg": JPEG})[:keep]
    assert isinstance(only_error(read(tmp_path / "a", data)), DamagedImage)


def test_a_file_whose_checksum_is_wrong_costs_only_itself(tmp_path):
    data = bytearray(packed({"a.jpg": JPEG, "b.jpg": JPEG}, method=zipfile.ZIP_STORED))
    data[data.index(JPEG) + 10] ^= 1
    (_, error), other = read(tmp_path / "a", bytes(data))
    assert isinstance(error, DamagedImage)
    assert other == ("a.zip/b.jpg", JPEG)


def test_an_empty_archive_is_told(tmp_path):
    assert "no files" in str(only_error(read(tmp_path / "a", packed({}))))


@pytest.mark.parametrize(("name", "encoding"), [("写真.jpg", "cp932"), ("Müll.jpg", "cp437")])
def test_names_of_old_archivers_come_out_right(tmp_path, name, encoding):
    raw = name.encode(encoding)
    plain = "x" * len(raw)  # archivers that know no UTF-8 set no flag, and nor does zipfile here
    data = packed({plain: JPEG}).replace(plain.encode(), raw)
    assert read(tmp_path / "a", data) == [(f"a.zip/{name}", JPEG)]
