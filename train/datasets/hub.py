"""Files of a data set on the Hugging Face hub, as streams; what goes wrong, in one sentence."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from train.datasets.records import SourceError

TOKENS = "https://huggingface.co/settings/tokens"


def token() -> str | None:
    """HF_TOKEN, of the environment or of a file called .env; or that of `hf auth login`."""
    from dotenv import dotenv_values
    from huggingface_hub import get_token

    return os.environ.get("HF_TOKEN") or dotenv_values(".env").get("HF_TOKEN") or get_token()


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a data set at one revision (a commit)."""

    repository: str
    revision: str
    names: list[str]


def files(repository: str) -> Listing:
    """What a data set holds now.

    Raises:
        SourceError: it cannot be listed.
    """
    with explain_errors(repository):
        from huggingface_hub import HfApi

        api = HfApi(token=token())
        revision = str(api.dataset_info(repository).sha)
        tree = api.list_repo_tree(
            repository, recursive=True, revision=revision, repo_type="dataset"
        )
        return Listing(repository, revision, [entry.path for entry in tree])


def stream(repository: str, revision: str, name: str) -> BinaryIO:
    """One file, read block by block; a block that breaks off is asked for again."""
    from huggingface_hub import HfFileSystem

    system = HfFileSystem(token=token())
    file: BinaryIO = system.open(f"datasets/{repository}@{revision}/{name}", "rb")
    return file


@contextmanager
def explain_errors(repository: str, so_far: str = "") -> Iterator[None]:
    """Turn what can go wrong on the way to the hub into a SourceError.

    Args:
        so_far: what a second run will not have to repeat, for the message.
    """
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # or it tells of every request
    page = f"https://huggingface.co/datasets/{repository}"
    try:
        from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]
    except ImportError as error:
        raise SourceError(_install(error)) from error
    try:
        yield
    except ImportError as error:
        raise SourceError(_install(error)) from error
    except (OSError, HTTPError) as error:
        status = _status(error)
        if status == 401 or (status == 403 and not token()):
            raise SourceError(
                f"{repository} needs a token of its hub; accept the agreement at {page}, set "
                f"HF_TOKEN, in the environment or in .env, to a token from {TOKENS}, and run the "
                "same command again."
            ) from error
        if status == 403:
            raise SourceError(
                f"The hub refuses {repository} to the account of HF_TOKEN; accept the agreement at "
                f"{page} and run the same command again{so_far}."
            ) from error
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SourceError(
            f"{page} cannot be reached, or broke off ({reason}); check the network and run the "
            f"same command again{so_far}."
        ) from error


def _install(error: ImportError) -> str:
    return f"{error.name} is missing; run `pip install -r requirements-train.txt`."


def _status(error: BaseException | None) -> int | None:
    """The HTTP status that an error, or the one that led to it, carries."""
    while error is not None:
        response = getattr(error, "response", None)
        if response is not None:
            return int(response.status_code)
        error = error.__cause__ or error.__context__
    return None
