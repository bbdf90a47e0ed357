"""WildDeepfake: some frames of every sequence of every video, from the hub or from local shards.

A shard is a .tar.gz of frames at ./VIDEO/{real,fake}/SEQUENCE/FRAME.png, in one of four folders.
Each is read once, as a stream, and only the frames that are kept are written. The kept frames of a
shard appear under their folder's final name all at once, so a run that was stopped takes up with
the first shard that it had not finished.
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import json
import logging
import re
import shutil
import tarfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from fakeface.files import write_atomically
from fakeface.progress import progress
from train.datasets import hub
from train.datasets.records import Record, SourceError, digest, drop_copies, share

log = logging.getLogger("train")

REPOSITORY = "xingjunm/WildDeepfake"
PARTS = {"fake_train": 592, "real_train": 371, "fake_test": 115, "real_test": 42}  # shards in each
FRAMES = 10
VAL = 0.1
_SHARD = re.compile(r"(?:^|/)((?:fake|real)_(?:train|test))/([\w-]+)\.tar\.gz$")
_FRAME = re.compile(r"^(?:\./)*([\w-]+)/(real|fake)/([\w-]+)/([\w-]+)\.png$")
_LARGEST = 1 << 24  # bytes of a frame; those of 224 px have less than a hundredth


@dataclass(frozen=True, slots=True)
class Shard:
    """One archive.

    Attributes:
        part: which of `PARTS` it belongs to.
        name: without .tar.gz, as a rule a number.
        place: where it is, for messages.
        open: opens it.
        remote: it is on the hub.
    """

    part: str
    name: str
    place: str
    open: Callable[[], BinaryIO]
    remote: bool

    @property
    def order(self) -> tuple[int, int, str]:
        """Sorts part by part, and 2 before 10."""
        return list(PARTS).index(self.part), *_natural(self.name)


@dataclass(slots=True)
class Spread:
    """Some of the frames of a sequence, evenly spread by their numbers.

    Frames come in any order. Every `step`-th is kept; when that is too many for memory, every
    second one is dropped.

    Attributes:
        count: how many `choose` gives at most.
        step: one frame in so many is kept.
        seen: how many frames have come.
        frames: the name and the bytes of those that are kept.
    """

    count: int
    step: int = 1
    seen: int = 0
    frames: list[tuple[str, bytes]] = field(default_factory=list)

    def offer(self, name: str, read: Callable[[], bytes]) -> None:
        """Count one more frame; it is read only if it is kept."""
        if self.seen % self.step == 0:
            self.frames.append((name, read()))
            if len(self.frames) > 8 * self.count:
                self.frames = self.sort()[::2]
                self.step *= 2
        self.seen += 1

    def choose(self) -> list[tuple[str, bytes]]:
        """At most `count` of them."""
        n, frames = len(self.frames), self.sort()
        if n <= self.count:
            return frames
        return [frames[(2 * i + 1) * n // (2 * self.count)] for i in range(self.count)]

    def sort(self) -> list[tuple[str, bytes]]:
        """The kept frames, by the numbers that they are named after."""
        return sorted(self.frames, key=lambda pair: _natural(pair[0]))


def read(folder: Path | None, cache: Path, frames: int = FRAMES) -> list[Record]:
    """The records, after what is not in the cache was fetched.

    Args:
        folder: holds the shards; None for the hub.
        cache: the folder that the kept frames are written below.
        frames: how many of each sequence, at most.

    Raises:
        SourceError: a shard cannot be had or read.
    """
    name = f"{folder.name}-{digest(str(folder.resolve()).encode())[:8]}" if folder else "hub"
    root = cache / "wilddeepfake" / f"{name}-{frames}"
    shards = shards_in(folder) if folder else shards_on_hub(root / "shards.json")
    if not shards:
        raise SourceError(
            f"{folder or REPOSITORY} holds no shards such as fake_train/0.tar.gz; give the folder "
            f"that holds {', '.join(PARTS)}."
        )
    for part, count in PARTS.items():
        have = sum(shard.part == part for shard in shards)
        if have != count:
            log.warning("WildDeepfake has %d shards in %s; here are %d", count, part, have)
    waiting = [shard for shard in shards if not _place(root, shard).is_dir()]
    done = len(shards) - len(waiting)
    bar = progress(waiting, desc="shards", initial=done, total=len(shards), disable=not waiting)
    for number, shard in enumerate(bar, start=done):
        kept = f"; {number} of {len(shards)} shards are done and stay so" if number else ""
        keep(shard, root, frames, so_far=kept)
    return _records(root, shards)


def shards_in(folder: Path) -> list[Shard]:
    """The shards in the four folders in `folder`, or one level below."""
    found = {
        path
        for part in PARTS
        for pattern in (f"{part}/*.tar.gz", f"*/{part}/*.tar.gz")
        for path in folder.glob(pattern)
    }
    shards = []
    for path in found:
        name = path.name[: -len(".tar.gz")]
        shards.append(Shard(path.parent.name, name, str(path), partial(open_archive, path), False))
    return sorted(shards, key=lambda shard: shard.order)


def open_archive(path: Path) -> BinaryIO:
    """The bytes of a shard, as a stream."""
    return path.open("rb")


def shards_on_hub(store: Path) -> list[Shard]:
    """The shards on the hub, at the revision that the first run found.

    Args:
        store: the file that keeps the listing, so that a finished set needs no network.
    """
    if not store.exists():
        write_atomically(store, json.dumps(dataclasses.asdict(hub.files(REPOSITORY))).encode())
    listing = json.loads(store.read_text())
    shards = []
    for name in listing["names"]:
        if match := _SHARD.search(name):
            opener = partial(hub.stream, REPOSITORY, listing["revision"], name)
            shards.append(Shard(match[1], match[2], f"{REPOSITORY}/{name}", opener, True))
    return sorted(shards, key=lambda shard: shard.order)


# -- one shard ------------------------------------------------------------------------------------


def sequences(shard: BinaryIO, frames: int) -> dict[tuple[str, str, str], Spread]:
    """The frames kept of each (video, real or fake, sequence) of an archive, read to its end.

    Nothing is taken from the archive's names but what `_FRAME` finds in them, and no links.

    Raises:
        EOFError, OSError, zlib.error, tarfile.TarError: it is truncated or damaged.
    """
    kept: dict[tuple[str, str, str], Spread] = {}
    with gzip.GzipFile(fileobj=shard) as plain, tarfile.open(fileobj=plain, mode="r:") as archive:
        for member in archive:
            match = _FRAME.match(member.name)
            if match is None or not member.isreg() or member.size > _LARGEST:
                continue
            video, label, sequence, frame = match.groups()
            spread = kept.setdefault((video, label, sequence), Spread(frames))
            spread.offer(frame, partial(_contents, archive, member))
        # tarfile takes a damaged header for the end. After the real one there are only zeros, and
        # the checksum of the whole stands at the very end.
        while rest := plain.read(1 << 20):
            if rest.strip(b"\0"):
                raise tarfile.ReadError("damaged in its middle")
    return kept


def _contents(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None  # noqa: S101  (a regular file has contents)
    return file.read()


def keep(shard: Shard, root: Path, frames: int, so_far: str = "") -> None:
    """Write the kept frames of one shard and their table, all or nothing.

    Raises:
        SourceError: it cannot be had, or is damaged.
        OSError: it cannot be written.
    """
    with hub.explain_errors(REPOSITORY, so_far) if shard.remote else nullcontext():
        try:
            with shard.open() as file:
                kept = sequences(file, frames)
        except (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError) as error:
            advice = "run the same command again" if shard.remote else "fetch that file again"
            raise SourceError(
                f"{shard.place} is truncated or damaged ({error}); {advice}{so_far}."
            ) from error
    if not kept:
        raise SourceError(
            f"{shard.place} holds no frames at VIDEO/{{real,fake}}/SEQUENCE/FRAME.png; it is no "
            "shard of WildDeepfake."
        )
    done = _place(root, shard)
    part = done.with_name(f"{done.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a run that was stopped
    part.mkdir(parents=True)
    with (part / "frames.csv").open("w", newline="") as table:
        writer = csv.writer(table)
        for (video, label, sequence), spread in kept.items():
            for frame, data in spread.choose():
                name = f"{video}_{label}_{sequence}_{frame}.png"
                (part / name).write_bytes(data)
                writer.writerow((name, video, label, sequence, digest(data)))
    part.rename(done)


def _place(root: Path, shard: Shard) -> Path:
    return root / shard.part / shard.name


# -- records and splits ---------------------------------------------------------------------------


def _records(root: Path, shards: Sequence[Shard]) -> list[Record]:
    """The official test is the test; validation is carved out of training, video by video.

    The group is the number of the video within training or within test. Real and fake sequences of
    one number share it: the path ./VIDEO/{real,fake} suggests that a video may hold both, and where
    two videos only happen to have the same number, being together costs nothing.

    Whether a number means the same video in training and in test is not documented. If fakes (or
    photographs) of one number are in both, numbers begin anew in each and mean nothing across them.
    Otherwise they may be global, and a training video whose number is in the test is left out.
    """
    numbers: dict[str, set[str]] = {part: set() for part in PARTS}
    rows = []
    for shard in shards:
        folder = _place(root, shard)
        with (folder / "frames.csv").open(newline="") as table:
            for name, video, label, sequence, sha256 in csv.reader(table):
                official = shard.part.split("_")[1]
                numbers[f"{label}_{official}"].add(video)
                rows.append((folder / name, official, video, label, sequence, sha256))
    both = [numbers[f"{label}_train"] & numbers[f"{label}_test"] for label in ("fake", "real")]
    shared = (
        set()
        if any(both)
        else (
            (numbers["fake_train"] | numbers["real_train"])
            & (numbers["fake_test"] | numbers["real_test"])
        )
    )
    if shared:
        log.warning("%d training videos left out: their numbers are in the test too", len(shared))
    records = []
    for path, official, video, label, sequence, sha256 in rows:
        if official == "train" and video in shared:
            continue
        group = f"wilddeepfake/{official}/{video}"
        carved = official == "train" and share(group) < VAL
        records.append(
            Record(
                path=path,
                label=int(label == "fake"),
                split="val" if carved else official,
                kind="swap" if label == "fake" else "photo",
                source="wilddeepfake",
                family="face_swap" if label == "fake" else "video",
                group=group,
                sha256=sha256,
                sequence=f"{group}/{label}/{sequence}",
            )
        )
    return drop_copies(records)


def _natural(name: str) -> tuple[int, str]:
    """Sorts 2 before 10."""
    return int(name) if name.isdecimal() else 0, name
