"""140k Real and Fake Faces: FFHQ photographs and StyleGAN faces, 256 px, in three official splits.

They come as one archive of 4 GB from Kaggle, or lie in a folder already.
"""

from __future__ import annotations

import io
import logging
import os
import re
import shutil
import zipfile
import zlib
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from fakeface.progress import progress
from train.datasets.records import Record, SourceError, digests, drop_copies

log = logging.getLogger("train")

DATASET = "xhlulu/140k-real-and-fake-faces"
PAGE = f"https://www.kaggle.com/datasets/{DATASET}"
SPLITS = {"train": "train", "valid": "val", "test": "test"}
PICTURES = 140_000
_MEMBER = re.compile(r"real_vs_fake/(real-vs-fake/(?:train|valid|test)/(?:real|fake)/[\w.-]+\.jpg)")


def read(folder: Path | None, cache: Path) -> list[Record]:
    """The records of the official splits, valid being val; copies across splits are dropped.

    Nothing says which pictures show the same person, so every picture is a group of its own.

    Args:
        folder: holds the set; None to download it.
        cache: the folder for the download and for the hashes of files.

    Raises:
        SourceError: it cannot be had, or is not laid out as it should be.
    """
    root = folder or download(cache)
    place = pictures_folder(root)
    if place is None:
        raise SourceError(
            f"{root} does not hold real_vs_fake/real-vs-fake/{{train,valid,test}}/{{real,fake}}; "
            "name the folder that the archive was unpacked to."
        )
    files = {
        path: (split, label)
        for split in SPLITS
        for label in ("real", "fake")
        for path in sorted(place.glob(f"{split}/{label}/*.jpg"))
    }
    if len(files) != PICTURES:
        log.warning("140k Real and Fake Faces has %d pictures; here are %d", PICTURES, len(files))
    known = digests(list(files), place, cache)
    return drop_copies(
        [
            Record(
                path=path,
                label=int(label == "fake"),
                split=SPLITS[split],
                kind="generated" if label == "fake" else "photo",
                source="stylegan1_140k" if label == "fake" else "ffhq_140k",
                family="stylegan" if label == "fake" else "ffhq",
                group=known[path],
                sha256=known[path],
            )
            for path, (split, label) in files.items()
        ]
    )


def pictures_folder(folder: Path) -> Path | None:
    """The folder of train, valid and test: this one, or one or two levels below."""
    inner = Path("real-vs-fake")
    candidates = [folder / "real_vs_fake" / inner, folder / inner]
    if folder.name == inner.name:
        candidates.append(folder)
    for place in candidates:
        if all((place / split / label).is_dir() for split in SPLITS for label in ("real", "fake")):
            return place
    return None


def download(cache: Path) -> Path:
    """Fetch and unpack the archive, as far as that is not done yet; returns the folder.

    Raises:
        SourceError: no credentials, a refusal, or a broken download.
    """
    root = cache / "kaggle140k"
    done = root / "real_vs_fake"
    if done.is_dir():
        return root
    archive = root / f"{DATASET.split('/')[1]}.zip"
    root.mkdir(parents=True, exist_ok=True)
    fetch(root)
    part = root / "real_vs_fake.part"
    try:
        unpack(archive, part)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise SourceError(
            f"{archive} is damaged ({error}); delete it and run the same command again."
        ) from error
    part.rename(done)
    archive.unlink()
    return root


def unpack(archive: Path, folder: Path) -> None:
    """The pictures of the archive, less those that are there already at their full size."""
    with zipfile.ZipFile(archive) as packed:
        for member in progress(packed.infolist(), desc="unpacking"):
            match = _MEMBER.fullmatch(member.filename)
            if match is None:
                continue
            path = folder / match[1]
            if path.is_file() and path.stat().st_size == member.file_size:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with packed.open(member) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)


def fetch(folder: Path) -> None:
    """Download the archive into a folder; a part of it that is there already is gone on with.

    Raises:
        SourceError: no credentials, a refusal, or a broken download.
    """
    api = client()
    import requests

    try:
        with redirect_stdout(io.StringIO()):
            api.dataset_download_files(DATASET, path=str(folder), quiet=False)
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise SourceError(
                f"Kaggle refuses the download ({status}); check ~/.kaggle/kaggle.json, accept the "
                f"terms at {PAGE} with that account, and run the same command again."
            ) from error
        raise SourceError(_describe_error(error)) from error
    except (requests.RequestException, ValueError) as error:
        raise SourceError(_describe_error(error)) from error


def _describe_error(error: Exception) -> str:
    return (
        f"The download from {PAGE} broke off ({' '.join(str(error).split())[:200]}); run the same "
        "command again: it goes on where it stopped."
    )


def client() -> Any:
    """Kaggle's own client, signed in.

    Its package talks, and may exit, when it is imported and when there are no credentials.

    Raises:
        SourceError: the package or the credentials are missing.
    """
    try:
        from dotenv import dotenv_values

        for name, value in dotenv_values(".env").items():
            if name in ("KAGGLE_USERNAME", "KAGGLE_KEY") and value:
                os.environ.setdefault(name, value)
        with redirect_stdout(io.StringIO()):
            from kaggle.api.kaggle_api_extended import KaggleApi

            api = KaggleApi()
            api.authenticate()
    except ImportError as error:
        raise SourceError(
            f"{error.name} is missing; run `pip install -r requirements-train.txt`."
        ) from error
    except (SystemExit, OSError, ValueError) as error:
        raise SourceError(
            "Kaggle asks who you are; make a key at https://www.kaggle.com/settings and save it as "
            "~/.kaggle/kaggle.json, or set KAGGLE_USERNAME and KAGGLE_KEY."
        ) from error
    return api
