"""Where labelled pictures come from: `python -m train sources SPEC...` fetches and counts them.

A SPEC is a CSV manifest, a folder (whose layout says what it is), or one of

    kaggle140k[:FOLDER]     140k Real and Fake Faces, downloaded or found in FOLDER
    wilddeepfake[:FOLDER]   WildDeepfake, streamed or from the shards in FOLDER
    folder:PATH             pictures below folders called real and fake

Whatever it is, it becomes a list of records of files: what is downloaded is kept in a cache
folder, and a second run goes on where a first one stopped.
"""

from __future__ import annotations

import argparse
import errno
import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from train.datasets import kaggle140k, shards, wilddeepfake
from train.datasets.folder import read_folder
from train.datasets.manifest import read_manifest
from train.datasets.records import Record, SourceError, check_groups, fingerprint

__all__ = [
    "Record",
    "SourceError",
    "add_data_arguments",
    "check_groups",
    "fingerprint",
    "open_source",
    "open_sources",
    "read_data",
    "read_manifest",
    "short",
]

log = logging.getLogger("train")

CACHE = Path("data")
NAMES = ("kaggle140k", "wilddeepfake", "folder")


def open_source(
    spec: str | Path, *, cache: Path = CACHE, frames: int = wilddeepfake.FRAMES
) -> list[Record]:
    """The records of one data set; what is not at hand is downloaded first.

    Args:
        spec: see the top of this module.
        cache: the folder for what is downloaded, unpacked and hashed.
        frames: how many of each sequence of WildDeepfake.

    Raises:
        SourceError: it cannot be had; says why, and what to do.
    """
    name, _, place = str(spec).partition(":")
    try:
        if name not in NAMES:
            return _recognise(Path(spec), cache=cache, frames=frames)
        folder = Path(place).expanduser() if place else None
        if folder and not folder.is_dir():
            raise SourceError(f"There is no folder {folder}; correct {spec}.")
        if name == "kaggle140k":
            return kaggle140k.read(folder, cache)
        if name == "wilddeepfake":
            return wilddeepfake.read(folder, cache, frames)
        if folder is None:
            raise SourceError("Say which folder: folder:PATH.")
        return read_folder(folder, cache)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SourceError(
                f"The disk that holds {cache} is full; make room, or name a folder on another disk "
                "with --cache, and run the same command again: it goes on where it stopped."
            ) from error
        raise SourceError(
            f"{spec} cannot be read ({error.strerror or error}: {error.filename or cache}); "
            "correct that and run the same command again."
        ) from error


def _recognise(path: Path, *, cache: Path, frames: int) -> list[Record]:
    if not path.exists():
        raise SourceError(
            f"There is no file or folder {path}; give a CSV manifest, a folder, kaggle140k or "
            "wilddeepfake."
        )
    if path.is_file():
        return read_manifest(path)
    if shards.is_packed(path):
        return shards.read(path, cache)
    if (path / "manifest.csv").is_file():
        return read_manifest(path / "manifest.csv")
    if kaggle140k.pictures_folder(path):
        return kaggle140k.read(path, cache)
    if wilddeepfake.shards_in(path):
        return wilddeepfake.read(path, cache, frames)
    return read_folder(path, cache)


def open_sources(
    specs: Iterable[str | Path], *, cache: Path = CACHE, frames: int = wilddeepfake.FRAMES
) -> list[Record]:
    """The records of several data sets, together; their groups must not cross a split.

    Raises:
        SourceError: a data set cannot be had, or a group or a file stands in two splits.
    """
    records = [r for spec in specs for r in open_source(spec, cache=cache, frames=frames)]
    overlap = check_groups(records)
    log.info("%d pictures, groups in more than one split: %d", len(records), overlap)
    return records


def short(spec: str) -> str:
    """A SPEC as a model card may give it: without the folders of one machine."""
    name, _, place = spec.partition(":")
    if name in NAMES:
        return f"folder:{Path(place).name}" if name == "folder" else name
    path = Path(spec)
    return f"{path.parent.name}/{path.name}" if path.suffix else path.name


# -- the command line -----------------------------------------------------------------------------


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a command the options that `read_data` reads."""
    parser.add_argument(
        "--data", nargs="+", required=True, metavar="SPEC",
        help="CSV manifests, folders, kaggle140k[:FOLDER], wilddeepfake[:FOLDER], folder:PATH",
    )  # fmt: skip
    _add_cache_arguments(parser)


def _add_cache_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cache", type=Path, default=CACHE, help="folder for what is downloaded (default: data)"
    )
    parser.add_argument(
        "--frames", type=int, default=wilddeepfake.FRAMES,
        help=f"of each sequence of WildDeepfake (default: {wilddeepfake.FRAMES})",
    )  # fmt: skip


def read_data(args: argparse.Namespace) -> list[Record]:
    """The records that a command asks for; ends the command, with a sentence, if that fails."""
    try:
        return open_sources(args.data, cache=args.cache, frames=args.frames)
    except SourceError as error:
        raise SystemExit(f"error: {error}") from error


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", nargs="+", metavar="SPEC", help="see train/README.md")
    _add_cache_arguments(parser)
    args = parser.parse_args(argv)
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    records = read_data(args)
    counts = Counter((r.split, "fake" if r.label else "real", r.source) for r in records)
    groups = {key: set[str]() for key in counts}
    for r in records:
        groups[r.split, "fake" if r.label else "real", r.source].add(r.group)
    print(f"{'split':<12} {'label':<5} {'pictures':>8} {'groups':>7}  source")
    for key, count in sorted(counts.items()):
        split, label, source = key
        print(f"{split:<12} {label:<5} {count:>8} {len(groups[key]):>7}  {source}")


if __name__ == "__main__":
    main()
