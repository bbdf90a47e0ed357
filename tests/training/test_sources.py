"""Data sets, whatever they come from: layouts, splits, and what is said when something is wrong."""

from __future__ import annotations

import dataclasses
import errno
import gzip
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakeface import files
from fakeface.types import Box
from tests.pools import record, row, write_manifest
from tests.servers import Remote, serve
from train.augment.degrade import augment, jitter
from train.datasets import kaggle140k, wilddeepfake
from train.datasets import records as records_module
from train.datasets.epochs import draw
from train.datasets.records import (
    Record,
    SourceError,
    check_groups,
    drop_copies,
    drop_swaps,
    fingerprint,
    share,
)
from train.datasets.sources import main, open_source, open_sources, read_manifest, short
from train.datasets.wilddeepfake import VAL, Spread
from train.training.recipes import load_recipe


def picture(seed: int, form: str = "PNG", side: int = 8) -> bytes:
    """A small picture that no other seed makes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# -- manifests ----------------------------------------------------------------------------------


def test_fake_is_one_and_real_is_zero(tmp_path):
    path = write_manifest(tmp_path, [row(), row(label="real", kind="photo")])
    assert [r.label for r in read_manifest(path)] == [1, 0]
    assert read_manifest(path)[0].path == tmp_path / "a.jpg"


@pytest.mark.parametrize("changes", [{"label": "maybe"}, {"label": ""}])
def test_an_unknown_label_is_refused(tmp_path, changes):
    with pytest.raises(SourceError, match="no manifest"):
        read_manifest(write_manifest(tmp_path, [row(**changes)]))


def test_a_manifest_that_is_missing_or_is_none(tmp_path):
    with pytest.raises(SourceError, match="cannot be read"):
        read_manifest(tmp_path / "absent.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match="no manifest"):
        read_manifest(tmp_path / "other.csv")


def test_a_group_or_a_file_in_two_splits_is_refused():
    check_groups([record("a"), record("b", split="val")])
    with pytest.raises(SourceError, match="1 groups stand in more than one split"):
        check_groups([record("a", group="x"), record("b", split="val", group="x")])
    twin = record("a", group="y", split="test")
    with pytest.raises(SourceError, match="sha256s stand in more than one split"):
        check_groups([record("a"), twin])


def test_the_fingerprint_is_of_the_content_alone():
    a, b = record("a"), record("b")
    assert fingerprint([a, b]) == fingerprint([b, a])
    assert fingerprint([a, b]) != fingerprint([a, dataclasses.replace(b, label=1)])


def test_a_manifest_may_name_sequences(tmp_path):
    assert read_manifest(write_manifest(tmp_path, [row()]))[0].sequence == ""
    assert read_manifest(write_manifest(tmp_path, [row(sequence="7")]))[0].sequence == "7"


def test_several_sets_are_checked_together(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = write_manifest(tmp_path / "a", [row()])
    second = write_manifest(tmp_path / "b", [row(split="test", sha256="1" * 64, group="h")])
    assert len(open_sources([str(first), second])) == 2
    second = write_manifest(tmp_path / "b", [row(split="test", sha256="1" * 64)])
    with pytest.raises(SourceError, match="1 groups stand in more than one split, first g;"):
        open_sources([first, second])


def test_the_overlap_that_is_said_is_counted(monkeypatch):
    assert check_groups([record("a"), record("b", split="val")]) == 0
    monkeypatch.setattr(records_module, "find_crossing", lambda records, what: ["x", "y"])
    with pytest.raises(SourceError, match="2 groups"):
        check_groups([record("a")])


# -- what holds for every set ---------------------------------------------------------------------


def test_a_copy_stays_in_the_test_set_and_leaves_the_others():
    copy = {"sha256": "c" * 64}
    kept = drop_copies(
        [
            record("train", **copy),
            record("test", split="test", **copy),
            record("again", split="test", **copy),
            record("val", split="val", **copy),
            record("other", split="val"),
        ]
    )
    assert [r.group for r in kept] == ["test", "again", "other"]
    kept = drop_copies([record("train", **copy), record("val", split="val", **copy)])
    assert [r.group for r in kept] == ["val"]


def test_swaps_are_left_out_where_there_are_other_fakes():
    photo, swap = record("p"), record("s", label=1, kind="swap")
    generated = record("g", label=1, kind="generated")
    assert drop_swaps([photo, swap, generated]) == [photo, generated]
    assert drop_swaps([photo, swap]) == [photo, swap]


def test_a_share_is_even_and_of_the_name_alone():
    shares = [share(f"group {i}") for i in range(4000)]
    assert np.mean(np.array(shares) < 0.1) == pytest.approx(0.1, abs=0.02)
    assert (
        share("wilddeepfake/train/7")
        == int(hashlib.sha256(b"wilddeepfake/train/7").hexdigest()[:8], 16) / 2**32
    )


# -- folders --------------------------------------------------------------------------------------


def test_a_folder_of_real_and_fake_is_split_by_what_is_in_the_files(tmp_path):
    faces = tmp_path / "faces"
    for i in range(60):
        put(faces / "REAL" / "phone" / f"{i}.jpg", picture(i, "JPEG"))
        put(faces / "fake" / f"{i}.png", picture(100 + i))
    put(faces / "fake" / "notes.txt", b"no picture")
    put(faces / "elsewhere" / "1.png", picture(1000))
    records = open_source(f"folder:{faces}", cache=tmp_path / "cache")
    assert Counter(r.label for r in records) == {0: 60, 1: 60}
    assert {r.split for r in records} == {"train", "val", "test"}
    assert Counter(r.split for r in records)["train"] > 80
    assert {(r.source, r.kind) for r in records} == {
        ("faces/phone", "photo"), ("faces", "generated")
    }  # fmt: skip
    assert all(r.sha256 == hashlib.sha256(r.read()).hexdigest() == r.group for r in records)
    # The name of a file plays no part.
    before = {r.sha256: r.split for r in records}
    for path in faces.rglob("*.png"):
        path.rename(path.with_name(f"new {path.name}"))
    again = open_source(faces, cache=tmp_path / "cache")
    assert {r.sha256: r.split for r in again} == before


def test_a_folder_with_splits_keeps_them_and_val_is_carved_out_of_train_alone(tmp_path):
    for i in range(40):
        put(tmp_path / "set" / "training" / "real" / f"{i}.png", picture(i))
        put(tmp_path / "set" / "training" / "fake" / f"{i}.png", picture(100 + i))
        put(tmp_path / "set" / "Test" / "real" / f"{i}.png", picture(200 + i))
    copy = put(tmp_path / "set" / "Test" / "fake" / "1.png", picture(103)).read_bytes()
    records = open_source(tmp_path / "set", cache=tmp_path / "cache")
    splits = Counter(r.split for r in records)
    assert splits["test"] == 41
    assert splits["train"] + splits["val"] == 79, "the copy of a test picture was not dropped"
    assert splits["val"] > 0
    assert [r.split for r in records if r.read() == copy] == ["test"]
    assert {r.split for r in records if "Test" in r.path.parts} == {"test"}
    # With a val of its own, nothing is carved.
    put(tmp_path / "set" / "valid" / "real" / "1.png", picture(300))
    splits = Counter(r.split for r in open_source(tmp_path / "set", cache=tmp_path / "cache"))
    assert splits == {"train": 79, "test": 41, "val": 1}


def test_the_innermost_label_counts(tmp_path):
    put(tmp_path / "fake" / "real" / "1.png", picture(1))
    put(tmp_path / "real" / "fake" / "1.png", picture(2))
    records = open_source(tmp_path, cache=tmp_path / "cache")
    assert {r.label: r.path.parent.name for r in records} == {0: "real", 1: "fake"}


def test_files_are_hashed_once_and_again_when_they_change(tmp_path, monkeypatch):
    files = [
        put(tmp_path / "set" / label / "1.png", picture(len(label) + i))
        for i, label in enumerate(("real", "fake"))
    ]
    hashed = []
    digest = records_module.digest
    monkeypatch.setattr(records_module, "digest", lambda data: hashed.append(1) or digest(data))
    open_source(tmp_path / "set", cache=tmp_path / "cache")
    assert len(hashed) == 2
    open_source(tmp_path / "set", cache=tmp_path / "cache")
    assert len(hashed) == 2
    files[0].write_bytes(picture(77))
    records = open_source(tmp_path / "set", cache=tmp_path / "cache")
    assert len(hashed) == 3
    assert {r.sha256 for r in records} == {digest(file.read_bytes()) for file in files}


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("absent", "no file or folder absent; give a CSV manifest"),
        ("folder:absent", "no folder absent"),
        ("kaggle140k:absent", "no folder absent"),
        ("folder:", "Say which folder"),
        ("empty", "holds no pictures below both real/ and fake/"),
        ("wilddeepfake:empty", "holds no shards such as fake_train/0.tar.gz"),
        ("kaggle140k:empty", "does not hold real_vs_fake/real-vs-fake"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(tmp_path, monkeypatch, capsys, spec, what):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=what):
        open_source(spec)
    with pytest.raises(SystemExit, match=f"^error: .*{what}"):
        main([spec])


def test_a_full_disk_is_said_in_a_sentence(tmp_path, monkeypatch):
    put(tmp_path / "set" / "real" / "1.png", picture(1))
    put(tmp_path / "set" / "fake" / "1.png", picture(2))

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_through", full)
        with pytest.raises(SourceError, match=r"disk that holds .*cache is full; make room"):
            open_source(tmp_path / "set", cache=tmp_path / "cache")
    assert len(open_source(tmp_path / "set", cache=tmp_path / "cache")) == 2


def test_the_command_counts_pictures_and_groups(tmp_path, capsys):
    path = write_manifest(tmp_path, [row(), row(sha256="1" * 64), row(label="real", group="h")])
    main([str(path)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == [["train", "fake", "2", "1", "s"], ["train", "real", "1", "1", "s"]]


def test_a_card_names_no_folder_of_one_machine():
    assert short("/home/me/pool/manifest.csv") == "pool/manifest.csv"
    assert short("/home/me/faces") == "faces"
    assert short("folder:/home/me/faces") == "folder:faces"
    assert short("kaggle140k:/mnt/sets") == short("kaggle140k") == "kaggle140k"


# -- WildDeepfake, from disk ----------------------------------------------------------------------


def pack(members: list[tuple[tarfile.TarInfo | str, bytes]]) -> bytes:
    """A .tar.gz, in the order given."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for member, data in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(data)
            archive.addfile(info, BytesIO(data))
    return buffer.getvalue()


def shard(video: str, label: str, sequences: dict[str, int], salt: str = "") -> bytes:
    """A shard as the real ones are: folders too, and frames in the order of no one's numbers."""
    members: list[tuple[tarfile.TarInfo | str, bytes]] = []
    for sequence, frames in sequences.items():
        folder = tarfile.TarInfo(f"./{video}/{label}/{sequence}")
        folder.type = tarfile.DIRTYPE
        members.append((folder, b""))
        numbers = list(range(1, frames + 1))
        random.Random(0).shuffle(numbers)
        for number in numbers:
            name = f"./{video}/{label}/{sequence}/{number}.png"
            members.append((name, picture(zlib.crc32(f"{salt}{name}".encode()))))
    return pack(members)


def wild(train: int = 12, test: int = 4, fakes_of_test: int = 0) -> dict[str, bytes]:
    """Small shards in the real layout: one video of two sequences in each.

    Args:
        train, test: how many videos of each label.
        fakes_of_test: the number of the first fake video of the test.
    """
    files = {}
    for part, first, count in (
        ("fake_train", 0, train),
        ("real_train", 0, train),
        ("fake_test", fakes_of_test, test),
        ("real_test", 500, test),
    ):
        for i in range(first, first + count):
            data = shard(str(i), part.split("_")[0], {"0": 3, "1": 7}, salt=part)
            files[f"deepfake_in_the_wild/{part}/{i}.tar.gz"] = data
    return files


@pytest.fixture
def shards(tmp_path) -> Path:
    folder = tmp_path / "shards"
    for name, data in wild().items():
        put(folder / name, data)
    return folder


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("n", [1, 9, 10, 11, 40, 41, 57, 1000, 12345])
def test_frames_are_spread_over_the_whole_sequence(n, shuffled):
    numbers = list(range(n))
    if shuffled:
        random.Random(1).shuffle(numbers)
    spread, read = Spread(10), []
    for number in numbers:
        spread.offer(str(number), lambda number=number: read.append(number) or b"%d" % number)
        assert len(spread.frames) <= 80
    chosen = [int(name) for name, _ in spread.choose()]
    assert chosen == sorted(set(chosen)) and len(chosen) == min(n, 10)
    assert all(int(data) == int(name) for name, data in spread.choose())
    gaps = np.diff([-n / 20, *chosen, n + n / 20])
    assert gaps.max() <= (2.0 if shuffled else 1.3) * n / 10 + 1
    assert len(read) < 600, "most of a long sequence is passed over unread"


def test_label_group_and_sequence_come_from_the_path_in_the_shard(shards, tmp_path):
    records = open_source(shards, cache=tmp_path / "cache", frames=5)
    assert Counter((r.label, r.split == "test") for r in records) == {
        (label, test): videos * (3 + 5)
        for label in (0, 1)
        for test, videos in ((False, 12), (True, 4))
    }
    for r in records:
        video, label, sequence, frame = r.path.stem.split("_")
        official = r.path.parent.parent.name.split("_")[1]
        assert r.path.parent.name == video
        assert label == ("fake" if r.label else "real") == r.path.parent.parent.name.split("_")[0]
        assert r.group == f"wilddeepfake/{official}/{video}"
        assert r.sequence == f"{r.group}/{label}/{sequence}"
        assert r.kind == ("swap" if r.label else "photo")
        salt = r.path.parent.parent.name
        name = f"{salt}./{video}/{label}/{sequence}/{frame}.png"
        assert r.read() == picture(zlib.crc32(name.encode()))
        assert r.sha256 == hashlib.sha256(r.read()).hexdigest()
    sizes = Counter(r.sequence for r in records)
    assert set(sizes.values()) == {3, 5}
    assert len(sizes) == 2 * 2 * 16


def test_validation_is_whole_videos_of_the_official_training_part(shards, tmp_path):
    records = open_source(f"wilddeepfake:{shards}", cache=tmp_path / "cache")
    assert check_groups(records) == 0
    by_group: dict[str, set[tuple[str, int]]] = {}
    for r in records:
        by_group.setdefault(r.group, set()).add((r.split, r.label))
    for group, found in by_group.items():
        if "/test/" in group:
            assert {split for split, _ in found} == {"test"}
        else:  # the real and the fake video of one number stand together
            assert found in ({("train", 0), ("train", 1)}, {("val", 0), ("val", 1)})
    assert {split for found in by_group.values() for split, _ in found} == {"train", "val", "test"}
    # The real numbers, as far as they are known: a tenth of the videos.
    carved = np.mean([share(f"wilddeepfake/train/{i}") < VAL for i in range(592)])
    assert carved == pytest.approx(0.1, abs=0.03)


def test_numbers_that_begin_anew_in_the_test_are_other_videos(shards, tmp_path):
    records = open_source(shards, cache=tmp_path / "cache")  # fakes are numbered 0 to 3 in both
    assert {r.group.split("/")[2] for r in records if "/train/" in r.group} == {
        str(i) for i in range(12)
    }


def test_numbers_that_may_be_global_leave_training_when_they_are_in_the_test(tmp_path, caplog):
    """Fakes 12 to 14 are in the test and their real sequences would be in training."""
    files = wild(fakes_of_test=12)
    for i in (12, 13):
        name = f"deepfake_in_the_wild/real_train/{i}.tar.gz"
        files[name] = shard(str(i), "real", {"0": 3}, salt="more")
    for name, data in files.items():
        put(tmp_path / "shards" / name, data)
    records = open_source(tmp_path / "shards", cache=tmp_path / "cache")
    assert "2 training videos left out" in caplog.text
    trained = {r.group.split("/")[2] for r in records if r.split != "test"}
    assert trained == {str(i) for i in range(12)}
    tested = {r.group.split("/")[2] for r in records if r.split == "test" and r.label}
    assert tested == {"12", "13", "14", "15"}


def test_a_frame_of_the_test_that_is_in_training_too_stays_in_the_test(shards, tmp_path):
    frame = picture(4711)
    for part, label in (("fake_train", "fake"), ("real_test", "real")):
        put(shards / "deepfake_in_the_wild" / part / "77.tar.gz",
            pack([(f"./77/{label}/0/1.png", frame)]))  # fmt: skip
    records = open_source(shards, cache=tmp_path / "cache")
    assert [r.split for r in records if r.read() == frame] == ["test"]


def test_a_second_run_reads_no_shard_again(shards, tmp_path, monkeypatch):
    records = open_source(shards, cache=tmp_path / "cache")
    monkeypatch.setattr(wilddeepfake, "sequences", None)
    assert open_source(shards, cache=tmp_path / "cache") == records
    with pytest.raises(TypeError):  # another number of frames is another set
        open_source(shards, cache=tmp_path / "cache", frames=4)


def test_a_stopped_run_goes_on_with_the_shard_it_stopped_at(shards, tmp_path, monkeypatch):
    opened = []
    sequences = wilddeepfake.sequences
    write_bytes = Path.write_bytes

    def counted(file, frames):
        opened.append(file.name)
        return sequences(file, frames)

    def full(path: Path, data: bytes) -> int:
        if len(opened) == 3 and path.stem.endswith("_2"):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write_bytes(path, data)

    monkeypatch.setattr(wilddeepfake, "sequences", counted)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(SourceError, match="is full; make room"):
            open_source(shards, cache=tmp_path / "cache")
    stopped = len(opened)
    assert stopped == 3
    records = open_source(shards, cache=tmp_path / "cache")
    assert opened.count(opened[2]) == 2, "the shard that was stopped at is read again"
    assert len(opened) == 32 + 1, "and no other"
    assert len({r.path for r in records}) == 32 * 10
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_names_that_lead_elsewhere_are_not_followed(tmp_path):
    link, hard = tarfile.TarInfo("./0/fake/0/2.png"), tarfile.TarInfo("./0/fake/0/3.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
    hard.type, hard.linkname = tarfile.LNKTYPE, "/etc/hostname"
    evil = picture(1)
    data = pack(
        [
            ("../../../evil.png", evil),
            ("/tmp/fake/0/evil.png", evil),
            ("./0/fake/../../evil.png", evil),
            ("./../fake/0/evil.png", evil),
            (link, b""),
            (hard, b""),
            ("./0/fake/0/1.png", picture(2)),
            ("./0/fake/0/1.txt", b"text"),
        ]
    )
    assert [
        (key, spread.choose()) for key, spread in wilddeepfake.sequences(BytesIO(data), 10).items()
    ] == [(("0", "fake", "0"), [("1", picture(2))])]


def test_a_truncated_shard_is_noticed_wherever_it_ends(tmp_path):
    whole = shard("0", "fake", {"0": 30})
    for length in (0, 5, 100, len(whole) // 2, len(whole) - 9, len(whole) - 8, len(whole) - 1):
        put(tmp_path / "s" / "fake_train" / "0.tar.gz", whole[:length])
        with pytest.raises(SourceError, match=r"0.tar.gz is truncated or damaged \(.+\); fetch"):
            open_source(tmp_path / "s", cache=tmp_path / "cache")
    put(tmp_path / "s" / "fake_train" / "0.tar.gz", whole)
    assert len(open_source(tmp_path / "s", cache=tmp_path / "cache")) == 10


def test_a_shard_damaged_in_its_middle_is_noticed(tmp_path):
    plain = bytearray(gzip.decompress(shard("0", "fake", {"0": 30})))
    plain[512 * 9 : 512 * 12] = bytes(range(256)) * 6  # headers and pictures of some frames
    put(tmp_path / "s" / "fake_train" / "0.tar.gz", gzip.compress(bytes(plain)))
    with pytest.raises(SourceError, match="truncated or damaged"):
        open_source(tmp_path / "s", cache=tmp_path / "cache")
    flipped = bytearray(shard("0", "fake", {"0": 30}))
    flipped[len(flipped) // 2] ^= 1
    put(tmp_path / "s" / "fake_train" / "0.tar.gz", bytes(flipped))
    with pytest.raises(SourceError, match="truncated or damaged"):
        open_source(tmp_path / "s", cache=tmp_path / "cache")


def test_an_archive_of_something_else_is_refused(tmp_path):
    put(tmp_path / "s" / "fake_train" / "0.tar.gz", pack([("readme.txt", b"hello")]))
    with pytest.raises(SourceError, match="holds no frames at VIDEO/"):
        open_source(tmp_path / "s", cache=tmp_path / "cache")


def test_missing_shards_are_told(shards, tmp_path, caplog):
    open_source(shards, cache=tmp_path / "cache")
    assert "WildDeepfake has 592 shards in fake_train; here are 12" in caplog.text
    assert "WildDeepfake has 42 shards in real_test; here are 4" in caplog.text


# -- 140k Real and Fake Faces, from disk ----------------------------------------------------------


def kaggle_files() -> dict[str, bytes]:
    """Small pictures in the real layout; one of test is in train too, and one of valid as well."""
    files = {}
    for split, seed in (("train", 0), ("valid", 100), ("test", 200)):
        for label in ("real", "fake"):
            for i in range(6):
                name = f"real_vs_fake/real-vs-fake/{split}/{label}/{i:05}.jpg"
                files[name] = picture(seed + i + (50 if label == "fake" else 0), "JPEG")
    base = "real_vs_fake/real-vs-fake"
    files[f"{base}/train/real/copy.jpg"] = files[f"{base}/test/real/00003.jpg"]
    files[f"{base}/train/fake/copy.jpg"] = files[f"{base}/valid/fake/00004.jpg"]
    return files


def check_kaggle(records: list[Record]) -> None:
    """The records of `kaggle_files`."""
    assert Counter((r.split, r.label) for r in records) == {
        (split, label): 6 for split in ("train", "val", "test") for label in (0, 1)
    }
    for r in records:
        split, label = r.path.parts[-3:-1]
        assert r.split == split.replace("valid", "val")
        assert (label, r.kind, r.family) in (
            ("real", "photo", "ffhq"), ("fake", "generated", "stylegan")
        )  # fmt: skip
        assert r.label == int(label == "fake")
        assert r.sha256 == r.group == hashlib.sha256(r.read()).hexdigest()


@pytest.mark.parametrize("below", ["", "real_vs_fake", "real_vs_fake/real-vs-fake"])
def test_140k_faces_on_disk(tmp_path, caplog, below):
    for name, data in kaggle_files().items():
        put(tmp_path / "140k" / name, data)
    caplog.set_level("INFO")
    folder = tmp_path / "140k" / below
    check_kaggle(open_source(f"kaggle140k:{folder}", cache=tmp_path / "cache"))
    assert "dropped 2 copies" in caplog.text
    assert "has 140000 pictures; here are 38" in caplog.text
    check_kaggle(open_source(folder, cache=tmp_path / "cache"))


# -- both, over the network: their own clients, talking to 127.0.0.1 ------------------------------

ROOT = Path(__file__).parents[2]
# Kaggle's client knows one address. Nobody waits between tries here.
PROGRAM = """
import sys, time
time.sleep = lambda seconds: None
if "kaggle140k" in sys.argv:
    import kagglesdk.kaggle_env as kaggle
    kaggle._env_to_endpoint[kaggle.KaggleEnv.PROD] = "http://127.0.0.1:PORT"
from train.sources import main
main()
"""


def fetch(remote: Remote, folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder of its own, in which the cache is `data`, as a user would."""
    folder.mkdir(exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "KAGGLE_"))}
    here = {
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "HF_ENDPOINT": f"http://127.0.0.1:{remote.port}",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM.replace("PORT", str(remote.port)), *args],
        cwd=folder, env={**kept, **here, **env}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a command ends with when it fails."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ") and line.endswith(".")
    return line


@pytest.mark.slow
def test_wilddeepfake_from_the_hub(tmp_path):
    """What is fetched equals what the same shards give on disk; a second run fetches nothing."""
    files = wild(train=4, test=2)
    for name, data in files.items():
        put(tmp_path / "shards" / name, data)
    wanted = open_source(tmp_path / "shards", cache=tmp_path / "cache", frames=4)
    with serve(Remote(files={**files, "README.md": b"#"})) as remote:
        (tmp_path / "user").mkdir()
        (tmp_path / "user" / ".env").write_text("HF_TOKEN=good\n")
        done = fetch(remote, tmp_path / "user", "wilddeepfake", "--frames", "4")
        assert done.returncode == 0, done.stderr
        assert "groups in more than one split: 0" in done.stderr
        assert sum(remote.served.values()) == sum(map(len, files.values()))
        assert not any("Authorization" in headers for _, headers in remote.seen), (
            "the token went on to the host of the files"
        )
    # The server is gone: what is complete needs no network.
    records = open_source("wilddeepfake", cache=tmp_path / "user" / "data", frames=4)
    assert [dataclasses.replace(r, path=Path(r.path.name)) for r in records] == [
        dataclasses.replace(r, path=Path(r.path.name)) for r in wanted
    ]


@pytest.mark.slow
def test_wilddeepfake_says_what_is_missing_and_resumes(tmp_path):
    files = wild(train=2, test=1)
    names = list(files)
    with serve(Remote(files=files)) as remote:
        done = fetch(remote, tmp_path, "wilddeepfake")
        assert "needs a token" in complaint(done) and "HF_TOKEN" in complaint(done)
        said = complaint(fetch(remote, tmp_path, "wilddeepfake", HF_TOKEN="new"))
        assert "accept the agreement at https://huggingface.co/datasets/xingjunm/" in said
        assert not remote.served

        # One break is got over; a third shard that always breaks off ends the run.
        remote.cut[f"/cdn/{names[0]}"] = 1
        remote.cut[f"/cdn/{names[2]}"] = 10_000
        said = complaint(fetch(remote, tmp_path, "wilddeepfake", HF_TOKEN="good"))
        assert "broke off" in said and "2 of 6 shards are done and stay so" in said
        assert remote.served[f"/cdn/{names[0]}"] > len(files[names[0]])
        remote.cut.clear()
        remote.served.clear()
        # The next one is truncated where it comes from.
        remote.files = {**files, names[3]: files[names[3]][:-50]}
        said = complaint(fetch(remote, tmp_path, "wilddeepfake", HF_TOKEN="good"))
        assert "truncated or damaged" in said and "3 of 6" in said
        remote.files = files
        assert fetch(remote, tmp_path, "wilddeepfake", HF_TOKEN="good").returncode == 0
        assert {path.removeprefix("/cdn/") for path in remote.served} == set(names[2:])
    assert len(open_source("wilddeepfake", cache=tmp_path / "data")) == 6 * 10


@pytest.mark.slow
def test_a_large_shard_comes_in_ranges_and_a_broken_one_alone_is_asked_for_again(tmp_path):
    frames = [(f"./0/fake/0/{i}.png", picture(i, side=224)) for i in range(45)]
    name, data = "x/fake_train/0.tar.gz", pack(list(frames))
    assert len(data) > 6 << 20
    with serve(Remote(files={name: data})) as remote:
        remote.cut[f"/cdn/{name}"] = 1
        assert fetch(remote, tmp_path, "wilddeepfake", HF_TOKEN="good").returncode == 0
        ranges = [{k.lower(): v for k, v in headers.items()}["range"] for _, headers in remote.seen]
    assert len(ranges) == 3 and ranges[0] == ranges[1] and ranges[0].startswith("bytes=0-")
    assert remote.served[f"/cdn/{name}"] == pytest.approx(len(data) + (5 << 20) / 2, rel=0.01)


def zipped(files: dict[str, bytes]) -> bytes:
    """An archive as Kaggle makes them."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**files, "train.csv": b"id\n", "../evil.jpg": b"evil"}.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.slow
def test_140k_faces_from_kaggle(tmp_path):
    with serve(Remote(archive=zipped(kaggle_files()))) as remote:
        done = fetch(remote, tmp_path, "kaggle140k")
        assert "~/.kaggle/kaggle.json, or set KAGGLE_USERNAME and KAGGLE_KEY" in complaint(done)
        assert "Authentication required" not in done.stdout + done.stderr
        mine = {"KAGGLE_USERNAME": "me", "KAGGLE_KEY": "wrong"}
        assert "Kaggle refuses the download (401)" in complaint(
            fetch(remote, tmp_path, "kaggle140k", **mine)
        )
        remote.accepted = False
        put(tmp_path / ".kaggle" / "kaggle.json", b'{"username": "me", "key": "secret"}')
        (tmp_path / ".kaggle" / "kaggle.json").chmod(0o600)
        said = complaint(fetch(remote, tmp_path, "kaggle140k"))
        assert "(403)" in said and "https://www.kaggle.com/datasets/xhlulu/140k" in said
        remote.accepted = True
        done = fetch(remote, tmp_path, "kaggle140k")
        assert done.returncode == 0, done.stderr
        assert remote.served.total() == len(remote.archive)
    # The server is gone, and so are the archive and what else it held.
    check_kaggle(open_source("kaggle140k", cache=tmp_path / "data"))
    assert sorted(p.name for p in (tmp_path / "data" / "kaggle140k").iterdir()) == ["real_vs_fake"]
    assert not list(tmp_path.rglob("evil.jpg"))


@pytest.mark.slow
def test_a_broken_download_from_kaggle_goes_on_where_it_stopped(tmp_path):
    path = "/storage/archive.zip"
    (tmp_path / ".env").write_text("KAGGLE_USERNAME=me\nKAGGLE_KEY=secret\n")
    more = {"more.bin": random.Random(0).randbytes(6 << 20)}  # it writes a MiB at a time
    with serve(Remote(archive=zipped({**kaggle_files(), **more}))) as remote:
        remote.cut[path] = 6  # the client tries that often
        said = complaint(fetch(remote, tmp_path, "kaggle140k"))
        assert "broke off" in said and "it goes on where it stopped" in said
        archive = tmp_path / "data" / "kaggle140k" / "140k-real-and-fake-faces.zip"
        have = archive.stat().st_size
        assert 0 < have < len(remote.archive)
        remote.cut.clear()
        done = fetch(remote, tmp_path, "kaggle140k")
        assert done.returncode == 0, done.stderr
        last = {k.lower(): v for k, v in remote.seen[-1][1].items()}["range"]
        assert last == f"bytes={have}-"
    check_kaggle(open_source("kaggle140k", cache=tmp_path / "data"))


def test_an_unpacking_that_was_stopped_goes_on(tmp_path, monkeypatch):
    archive = put(tmp_path / "a.zip", zipped(kaggle_files()))
    copy, copied = shutil.copyfileobj, []

    def stopped(source, target):
        if len(copied) == 5:
            target.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        copied.append(target.name)
        copy(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", stopped)
        with pytest.raises(OSError, match="No space"):
            kaggle140k.unpack(archive, tmp_path / "out")
    monkeypatch.setattr(shutil, "copyfileobj", lambda s, t: copied.append(t.name) or copy(s, t))
    kaggle140k.unpack(archive, tmp_path / "out")
    assert len(copied) == len(set(copied)) == len(kaggle_files())
    for name, data in kaggle_files().items():
        assert (tmp_path / "out" / name.removeprefix("real_vs_fake/")).read_bytes() == data


def test_a_damaged_archive_is_to_be_deleted(tmp_path, monkeypatch):
    data = bytearray(zipped(kaggle_files()))
    data[300:330] = b"\0" * 30
    name = tmp_path / "kaggle140k" / "140k-real-and-fake-faces.zip"
    monkeypatch.setattr(kaggle140k, "fetch", lambda folder: put(name, bytes(data)))
    with pytest.raises(SourceError, match=r"faces\.zip is damaged \(.*\); delete it and run"):
        open_source("kaggle140k", cache=tmp_path)
    assert name.exists() and not (tmp_path / "kaggle140k" / "real_vs_fake").exists()


@pytest.mark.parametrize("spec", ["kaggle140k", "wilddeepfake"])
def test_a_missing_package_is_named(tmp_path, monkeypatch, spec):
    monkeypatch.chdir(tmp_path)
    for package in ("kaggle", "kaggle.api.kaggle_api_extended", "huggingface_hub.errors"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SourceError, match=r"missing; run `pip install -r requirements-train.txt`"):
        open_source(spec, cache=tmp_path)


# -- the recipes of the published experiments -----------------------------------------------------

PUBLISHED = [
    ("resnet18", "kaggle140k"),
    ("resnet50", "kaggle140k"),
    ("resnet18", "wilddeepfake"),
    ("resnet50", "wilddeepfake"),
    ("convnext_tiny", "wilddeepfake"),
]


@pytest.mark.parametrize(("backbone", "data"), PUBLISHED)
def test_the_published_experiments_have_the_published_numbers(backbone, data):
    recipe = load_recipe(f"{backbone}_{data}_published")
    assert recipe.backbone == backbone
    assert (recipe.batch, recipe.accumulate, recipe.weight_decay) == (32, 1, 1e-5)
    assert sum(phase.epochs for phase in recipe.phases) == 10
    assert {phase.lr for phase in recipe.phases} == {1e-4} and recipe.depth_decay == 1
    assert recipe.train_limit == recipe.samples == 4000
    assert (recipe.mixup, recipe.blend_share, recipe.smoothing, recipe.ema) == (0, 0, 0, 0)
    face = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        assert jitter(Box(3, 4, 50, 60), recipe.augmentation, rng) == Box(3, 4, 50, 60)
        same = augment(face, recipe.augmentation, rng)
        assert np.array_equal(same, face) or np.array_equal(same, face[:, ::-1])


@pytest.mark.parametrize(("backbone", "data"), PUBLISHED)
def test_half_of_what_a_recipe_draws_from_its_own_data_is_fake(backbone, data):
    kind = "swap" if data == "wilddeepfake" else "generated"
    photos = [record(f"p{i}") for i in range(300)]
    fakes = [record(f"f{i}", label=1, kind=kind) for i in range(100)]
    published = load_recipe(f"{backbone}_{data}_published")
    drawn = draw(photos + fakes, 8000, published.swap_share, (0,))
    assert np.mean([r.label for r in drawn]) == pytest.approx(0.5, abs=0.02)
    better = load_recipe(f"{backbone}_{data}")
    assert better.backbone == backbone
    of_data = better.swap_share if kind == "swap" else 1 - better.swap_share - better.blend_share
    assert of_data + better.blend_share == 1
