"""What is scanned: folders and links, first bytes, patterns, lists, archives, addresses."""

from __future__ import annotations

import os
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakeface.batch import Item
from fakeface.images import decoder
from fakeface.scan.shards import Shard
from fakeface.scan.sources import SourceError, find
from fakeface.types import ImageError, ImageTooLarge

Told = list[tuple[str, str]]


def png(grey: int = 200) -> bytes:
    out = BytesIO()
    Image.fromarray(np.full((4, 4, 3), grey, np.uint8)).save(out, "PNG")
    return out.getvalue()


def listed(*arguments: object, skip: tuple[Path, ...] = ()) -> tuple[list[str], Told]:
    """The names that are found, archives opened; and what is left out, with the reason."""
    told: Told = []

    def left_out(reason: str, name: str) -> None:
        told.append((name, reason))

    def items() -> Iterator[Item]:
        for source in find(map(str, arguments), skip=skip, left_out=left_out):
            yield from source.items(left_out) if isinstance(source, Shard) else [source]

    return [item.name for item in items()], told


def contents(*arguments: object) -> dict[str, bytes | ImageError]:
    found: dict[str, bytes | ImageError] = {}
    for source in find(map(str, arguments)):
        for item in source.items(lambda *_: None) if isinstance(source, Shard) else [source]:
            try:
                found[item.name] = item.read()
            except ImageError as error:
                found[item.name] = error
    return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def place(*names: str, data: bytes = b"") -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(data)


def test_a_folder_gives_its_pictures_in_order(here: Path) -> None:
    place("b.png", "a.JPEG", "notes.txt", ".hidden.jpg", ".git/x.jpg", "sub/c.webp", "sub/d.avif",
          "again/x.jpg")  # fmt: skip
    (here / "self.jpg").symlink_to("self.jpg")
    found, told = listed(here)
    assert [os.path.relpath(name) for name in found] == [
        "a.JPEG", "b.png", "self.jpg", "again/x.jpg", "sub/c.webp", "sub/d.avif",
    ]  # fmt: skip
    assert [(os.path.relpath(name), why.split()[2]) for name, why in told] == [
        (".git", "hidden."), (".hidden.jpg", "hidden."), ("notes.txt", "no"),
    ]  # fmt: skip


def test_named_files_always_count_and_once(here: Path) -> None:
    place("notes.txt", "sub/c.webp", "sub/d.avif", ".git/x.jpg")
    found, told = listed("notes.txt", "absent.jpg", "sub/c.webp", "sub", "sub/c.webp", ".git")
    assert found == ["notes.txt", "absent.jpg", "sub/c.webp", "sub/d.avif", ".git/x.jpg"]
    assert told == []
    long = "x" * 300
    assert listed(long) == ([long], [])
    assert isinstance(contents(long)[long], ImageError)


def test_the_first_bytes_count_not_the_name(here: Path) -> None:
    place("photo", "photo.txt", "photo.jpg.part", data=png())
    place("page.html", data=b"<!DOCTYPE html><html>")
    place("doc.bin", data=b"%PDF-1.7")
    place("empty")
    place("damaged.jpg", data=b"text")
    os.mkfifo("pipe")
    found, told = listed(".")
    assert found == ["damaged.jpg", "photo", "photo.jpg.part", "photo.txt"]
    why = dict(told)
    assert sorted(why) == ["doc.bin", "empty", "page.html", "pipe"]
    assert "a PDF document" in why["doc.bin"]
    assert "a web page" in why["page.html"]
    assert why["pipe"] == "This is no ordinary file."


def test_links_to_folders_are_followed_once(here: Path) -> None:
    place("elsewhere/one.jpg", "elsewhere/deep/two.jpg", "photos/sub/three.jpg")
    for link, target in {
        "photos/a_loop": "..",
        "photos/b_loop": ".",
        "photos/sub/up": "..",
        "photos/far": "../elsewhere",
        "photos/far_again": "../elsewhere",
        "photos/deep": "../elsewhere/deep",
        "elsewhere/back": "../photos",
        "photos/broken": "../absent",
    }.items():
        Path(link).symlink_to(target)
    found, told = listed("photos")
    assert sorted(Path(name).name for name in found) == ["one.jpg", "three.jpg", "two.jpg"]
    assert found[0] == "photos/sub/three.jpg"  # what is there comes before what links lead to
    why = {name for name, reason in told if "scanned already" in reason}
    assert "photos/b_loop" in why and "photos/sub/up" in why
    assert "cannot be" in dict(told)["photos/broken"] or "ordinary" in dict(told)["photos/broken"]
    assert listed("photos") == (found, told)  # the same at every run


def test_a_folder_within_another_is_scanned_once(here: Path) -> None:
    place("photos/sub/a.jpg", "photos/b.jpg")
    assert listed("photos/sub", "photos") == (["photos/sub/a.jpg", "photos/b.jpg"], [])
    assert listed("photos", "photos/sub") == (["photos/b.jpg", "photos/sub/a.jpg"], [])


def test_a_folder_that_cannot_be_listed_is_told(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place("a.jpg", "sub/b.jpg", "tub/c.jpg")
    real = os.scandir

    def scandir(path: Path) -> object:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert listed(".") == (
        ["a.jpg", "tub/c.jpg"],
        [("sub", "This folder cannot be listed (Permission denied).")],
    )


def test_files_to_skip_are_not_told(here: Path) -> None:
    place("a.jpg", "table.csv", ".table.csv.lock", "table.jpg")
    skip = (Path("table.csv"), here / ".table.csv.lock", Path("table.jpg"))
    assert listed(".", "table.csv", skip=skip) == (["a.jpg"], [])


def test_patterns(here: Path) -> None:
    place("a1.jpg", "a2.txt", "sub/a3.jpg", "sub/deep/a4.jpg", "b.jpg", "[b].jpg")
    assert listed("a*.*")[0] == ["a1.jpg", "a2.txt"]
    assert listed("**/a*.jpg")[0] == ["a1.jpg", "sub/a3.jpg", "sub/deep/a4.jpg"]
    assert listed("s*")[0] == ["sub/a3.jpg", "sub/deep/a4.jpg"]
    assert listed("[b].jpg")[0] == ["[b].jpg"]  # the file of just that name
    assert isinstance(contents("nothing*.jpg")["nothing*.jpg"], ImageError)


def test_lists(here: Path) -> None:
    place("a.jpg", "sub/b.jpg", "c d.jpg", "@at.jpg", os.fsdecode(b"\xe9.jpg"), data=png())
    Path("more").write_text("c d.jpg\n")
    Path("list").write_bytes(b"\xef\xbb\xbfa.jpg\r\n\nsub\n@more\n@at.jpg\n\\xE9.jpg\n\xe9.jpg\n")
    found = contents("@list")
    assert list(found) == [
        "a.jpg", "sub/b.jpg", "c d.jpg", "@at.jpg", os.fsdecode(b"\xe9.jpg"),
    ]  # fmt: skip
    assert set(found.values()) == {png()}
    Path("loop").write_text("a.jpg\n@loop\nsub\n")
    assert listed("@loop")[0] == ["a.jpg", "sub/b.jpg"]
    with pytest.raises(SourceError, match=r"The list absent cannot be read"):
        listed("@absent")


def packed(path: str, mode: str, **members: bytes) -> None:
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(data)
            archive.addfile(info, BytesIO(data))


@pytest.mark.parametrize(
    ("name", "mode"), [("0.tar", "w"), ("0.tar.gz", "w:gz"), ("0.tgz", "w:gz"), ("0.TAR", "w")]
)
def test_tar_archives(here: Path, name: str, mode: str) -> None:
    packed(name, mode, a_jpg=png(1), a_json=b"{}", b_bin=png(2), c_png=b"", _hidden=png(3))
    assert contents(name) == {
        f"{name}/a.jpg": png(1),
        f"{name}/b.bin": png(2),
        f"{name}/c.png": b"",
    }
    Path("folder").mkdir()
    Path(name).rename(f"folder/{name}")
    found, told = listed("folder")
    assert found == [f"folder/{name}/{member}" for member in ("a.jpg", "b.bin", "c.png")]
    assert [member for member, _ in told] == [f"folder/{name}/a.json", f"folder/{name}/.hidden"]


def test_too_large_a_file_in_a_tar_archive_is_not_read(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed("0.tar", "w", a_jpg=bytes(1001), b_jpg=bytes(1000))
    monkeypatch.setattr(decoder, "MAX_BYTES", 1000)
    first, second = contents("0.tar").values()
    assert isinstance(first, ImageTooLarge)
    assert second == bytes(1000)


@pytest.mark.parametrize("keep", [0, 3, 100, 700, 1500])
def test_a_damaged_tar_archive_is_one_sentence(here: Path, keep: int) -> None:
    packed("0.tar.gz", "w:gz", a_jpg=os.urandom(1500), b_jpg=os.urandom(1500))
    Path("0.tar.gz").write_bytes(Path("0.tar.gz").read_bytes()[:keep])
    *_, last = contents("0.tar.gz").values()
    assert isinstance(last, ImageError)
    assert str(last).startswith("This tar archive is damaged") and str(last).endswith("again.")


def test_parquet(here: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    pictures = [png(i) for i in range(40)]
    cells = [{"bytes": data, "path": None} for data in pictures]
    parquet.write_table(
        pa.table({"label": range(40), "image": cells, "other": pictures}),
        "a.parquet",
        row_group_size=7,
    )
    assert list(contents("a.parquet").items()) == [
        (f"a.parquet/{i}", data) for i, data in enumerate(pictures)
    ]
    parquet.write_table(pa.table({"photo": [pictures[0], None]}), "b.parquet")
    first, second = contents("b.parquet").values()
    assert first == pictures[0]
    assert isinstance(second, ImageError) and "empty" in str(second)
    parquet.write_table(pa.table({"label": [1]}), "c.parquet")
    (none,) = contents("c.parquet").values()
    assert isinstance(none, ImageError) and "no column of pictures" in str(none)
    Path("d.parquet").write_bytes(Path("a.parquet").read_bytes()[:-9])
    (damaged,) = contents("d.parquet").values()
    assert isinstance(damaged, ImageError) and "damaged" in str(damaged)


def test_parquet_without_pyarrow_is_one_sentence(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place("a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (error,) = contents("a.parquet").values()
    assert isinstance(error, ImageError) and "pip install pyarrow" in str(error)


def test_addresses(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    packed("0.tar", "w", a_jpg=png(5), a_txt=b"text")
    for name, data in {
        "a.jpg": png(1), "deep/b.bin": png(2), "notes.txt": b"text",
        "large.jpg": bytes(5000), "z.tar": Path("0.tar").read_bytes(),
    }.items():  # fmt: skip
        store.pipe(f"/bucket/{name}", data)
    monkeypatch.setattr(decoder, "MAX_BYTES", 4000)
    try:
        found = contents("memory://bucket")
        assert isinstance(found.pop("memory:///bucket/large.jpg"), ImageTooLarge)
        assert found == {
            "memory:///bucket/a.jpg": png(1),
            "memory:///bucket/deep/b.bin": png(2),
            "memory:///bucket/z.tar/a.jpg": png(5),
        }
        _, told = listed("memory://bucket")
        names = [name for name, _ in told]
        assert names == ["memory:///bucket/notes.txt", "memory:///bucket/z.tar/a.txt"]
        assert listed("memory://bucket/*.jpg")[0] == [
            "memory:///bucket/a.jpg", "memory:///bucket/large.jpg",
        ]  # fmt: skip
        assert list(contents("memory://bucket/notes.txt").values()) == [b"text"]
        with monkeypatch.context() as patch:  # a list of a million addresses asks for none of them
            patch.setattr(type(store), "isdir", None)
            assert contents("memory://bucket/a.jpg") == {"memory:///bucket/a.jpg": png(1)}
            assert list(contents("memory://bucket/z.tar")) == ["memory:///bucket/z.tar/a.jpg"]
        (absent,) = contents("memory://bucket/absent.jpg").values()
        assert isinstance(absent, ImageError) and "cannot be read" in str(absent)
    finally:
        store.rm("/bucket", recursive=True)


def test_a_parquet_file_at_an_address(here: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    pictures = [png(i) for i in range(20)]
    parquet.write_table(pa.table({"image": [{"bytes": data} for data in pictures]}), "a.parquet")
    store = fsspec.filesystem("memory")
    store.pipe("/data/train.parquet", Path("a.parquet").read_bytes())
    try:
        assert list(contents("memory://data").items()) == [
            (f"memory:///data/train.parquet/{i}", data) for i, data in enumerate(pictures)
        ]
    finally:
        store.rm("/data", recursive=True)


def test_addresses_of_this_machine(here: Path) -> None:
    pytest.importorskip("fsspec")
    place("photos/a.jpg", "photos/sub/b.png", data=png(3))
    packed("photos/0.tar", "w", c_jpg=png(4))
    assert contents(f"file://{here}/photos") == {
        f"file://{here}/photos/0.tar/c.jpg": png(4),
        f"file://{here}/photos/a.jpg": png(3),
        f"file://{here}/photos/sub/b.png": png(3),
    }


def test_the_hub_without_a_network_is_one_sentence() -> None:
    """The tests fetch nothing; what hf:// is like inside is told by memory://."""
    pytest.importorskip("fsspec")
    (absent,) = contents("hf://datasets/no/pictures").values()
    assert isinstance(absent, ImageError)
    assert str(absent).startswith("hf://datasets/no/pictures cannot be read (")
    assert "\n" not in str(absent) and str(absent).endswith("check its name and your access.")


def test_addresses_that_cannot_be_listed_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    with pytest.raises(SourceError, match=r"^nonsense://x cannot be listed"):
        listed("nonsense://x")

    def absent(address: str) -> None:
        raise ImportError("Install s3fs to access S3")

    with monkeypatch.context() as patch:
        patch.setattr(fsspec.core, "url_to_fs", absent)
        with pytest.raises(SourceError, match=r"s3:// cannot be read: Install s3fs"):
            listed("s3://bucket/key")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(SourceError, match="pip install fsspec"):
        listed("s3://bucket/key")
