"""Data sets, whatever they come from: layouts, splits, and what is said when something is wrong."""

from __future__ import annotations

import csv
import dataclasses
import errno
import hashlib
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from train import records as records_module
from train.records import share, without_copies, without_swaps
from train.sources import (
    Record,
    SourceError,
    check_groups,
    fingerprint,
    main,
    open_source,
    open_sources,
    read_manifest,
    short,
)


def record(name: str, **changes) -> Record:
    digest = hashlib.sha256(name.encode()).hexdigest()
    plain = Record(Path(name), 0, "train", "photo", "s", "f", name, digest)
    return dataclasses.replace(plain, **changes)


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


def write_manifest(folder: Path, rows: list[dict[str, str]]) -> Path:
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def row(**changes) -> dict[str, str]:
    return {
        "file": "a.jpg", "label": "fake", "split": "train", "kind": "generated", "source": "s",
        "family": "f", "group": "g", "sha256": "0" * 64, **changes,
    }  # fmt: skip


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
    monkeypatch.setattr(records_module, "crossing", lambda records, what: ["x", "y"])
    with pytest.raises(SourceError, match="2 groups"):
        check_groups([record("a")])


# -- what holds for every set ---------------------------------------------------------------------


def test_a_copy_stays_in_the_test_set_and_leaves_the_others():
    copy = {"sha256": "c" * 64}
    kept = without_copies(
        [
            record("train", **copy),
            record("test", split="test", **copy),
            record("again", split="test", **copy),
            record("val", split="val", **copy),
            record("other", split="val"),
        ]
    )
    assert [r.group for r in kept] == ["test", "again", "other"]
    kept = without_copies([record("train", **copy), record("val", split="val", **copy)])
    assert [r.group for r in kept] == ["val"]


def test_swaps_are_left_out_where_there_are_other_fakes():
    photo, swap = record("p"), record("s", label=1, kind="swap")
    generated = record("g", label=1, kind="generated")
    assert without_swaps([photo, swap, generated]) == [photo, generated]
    assert without_swaps([photo, swap]) == [photo, swap]


def test_a_share_is_even_and_of_the_name_alone():
    shares = [share(f"group {i}") for i in range(4000)]
    assert share("wilddeepfake/train/0") == pytest.approx(0.5, abs=0.5)
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

    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
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
