"""Names of any bytes come back from their spelling; ZIP archives in three encodings."""

from __future__ import annotations

import os
import zipfile
from io import BytesIO
from pathlib import Path
from zlib import crc32

import pytest

from fakeface.names import spell, to_path, zip_names

MUSIC = "Zoe\u0308 Müller.jpg"  # macOS takes letters and their marks apart


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        (b"plain.jpg", "plain.jpg"),
        ("Zoë 张伟.jpg".encode(), "Zoë 张伟.jpg"),
        (MUSIC.encode(), MUSIC),
        (b"latin1 \xe9.jpg", r"latin1 \xE9.jpg"),
        (rb"told \xe9.jpg", r"told \x5Cxe9.jpg"),
        (b"\\\xe9\\xE9\\x5C\\xg1\\", "\\\\xE9\\x5CxE9\\x5Cx5C\\xg1\\"),
        (b"half \xe5\xbc.jpg", r"half \xE5\xBC.jpg"),
        (b"\xed\xb2\x80", r"\xED\xB2\x80"),
    ],
)
def test_any_bytes_come_back_from_their_spelling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes, spelled: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert spell(os.fsdecode(name)) == spelled
    assert os.fsencode(to_path(spelled)) == name
    spelled.encode()


def test_a_file_of_just_that_name_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(r"\x41.jpg").touch()
    assert to_path(r"\x41.jpg") == Path(r"\x41.jpg")
    assert to_path(r"\x42.jpg") == Path("B.jpg")
    assert to_path(r"\x00.jpg") == Path(r"\x00.jpg")


def entries(*names: bytes, flag: int = 0, extra: bytes = b"") -> list[zipfile.ZipInfo]:
    """The directory of an archive with these names, as zipfile reads it."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for i, name in enumerate(names):
            info = zipfile.ZipInfo("\x7f" * len(name) + f"{i:02}")  # of its own, to be replaced
            info.extra = extra
            archive.writestr(info, b"")
    data = bytearray(out.getvalue())
    for i, name in enumerate(names):
        for _ in range(2):  # in its own header and in the directory
            at = data.index(b"\x7f" * len(name) + b"%02d" % i)
            start = at - (30 if data[at - 30 : at - 26] == b"PK\x03\x04" else 46)
            where = start + (6 if start == at - 30 else 8)
            data[where : where + 2] = flag.to_bytes(2, "little")
            data[at : at + len(name)] = name
    with zipfile.ZipFile(BytesIO(data)) as archive:
        return archive.infolist()


def names(*raw: bytes, flag: int = 0, extra: bytes = b"") -> list[str]:
    return [name[:-2] for name in zip_names(entries(*raw, flag=flag, extra=extra))]


WESTERN = (
    "Zoë Müller.jpg Köln.jpg élève.jpg Öl.jpg señor.jpg Straße.jpg été.jpg Ärger.jpg Björk.jpg "
    "Çédille.jpg naïve.jpg Übung.jpg niño.jpg Århus.jpg smörgåsbord.jpg MÄRZ.JPG ÄÖÜ.jpg Garçon.jpg"
)
JAPANESE = (
    "テスト.jpg 写真.jpg IMG写真.jpg 花.jpg 東京タワー.jpg 家族/夏休み.jpg ｱｲｳ.jpg 本.jpg "
    "スキャン_001.jpg 新しいフォルダー/IMG_0001.JPG 田中さん.jpg ソ.jpg 表.jpg"
)


@pytest.mark.parametrize(
    ("encoding", "words"), [("cp437", WESTERN), ("cp932", JAPANESE), ("utf-8", WESTERN + JAPANESE)]
)
def test_names_that_do_not_tell_their_encoding(encoding: str, words: str) -> None:
    every = words.split()
    for name in every:
        assert names(name.encode(encoding)) == [name]
    assert names(*(name.encode(encoding) for name in every)) == every


def test_a_name_that_is_told_in_the_others_encoding_is_read_with_them() -> None:
    """山 alone would be read as ÄR in CP437."""
    assert names("山.jpg".encode("cp932"), "写真.jpg".encode("cp932")) == ["山.jpg", "写真.jpg"]


def test_the_flag_for_utf_8() -> None:
    assert names(MUSIC.encode(), "写真.jpg".encode(), flag=0x800) == ["Zoë Müller.jpg", "写真.jpg"]


def unicode_path(name: str, of: bytes) -> bytes:
    data = b"\x01" + crc32(of).to_bytes(4, "little") + name.encode()
    return b"\x75\x70" + len(data).to_bytes(2, "little") + data


def test_the_extra_field_for_utf_8_counts_while_it_fits_the_name() -> None:
    plain = b"K\x94ln.jpg00"
    fitting = b"\x99\x99\x04\x00abcd" + unicode_path("写真.jpg00", plain)
    assert names(plain[:-2], extra=fitting) == ["写真.jpg"]
    assert names(plain[:-2], extra=unicode_path("写真.jpg00", b"renamed")) == ["Köln.jpg"]
    broken = b"\x75\x70\x07\x00\x01" + crc32(plain).to_bytes(4, "little") + b"\xff\xfe"
    assert names(plain[:-2], extra=broken) == ["Köln.jpg"]


def test_a_name_ends_at_a_null() -> None:
    (entry,) = entries(b"a.jpg\0.exe")
    assert zip_names([entry]) == ["a.jpg"]
