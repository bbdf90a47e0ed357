"""For programs: the endpoints of the API, which are the tools of the MCP server too.

The names, the types and the docstrings of the functions in `ENDPOINTS` are what programs are shown;
Gradio reads the types, so they are not put off by `from __future__ import annotations`.
"""

from contextlib import ExitStack
from pathlib import Path

import gradio as gr
from gradio.events import api as add_endpoint

from fakeface import batch
from fakeface.contract import AnalysisResult, ModelResult, ReportResult
from fakeface.images import decoder, fetch
from fakeface.models import checkpoints, zoo
from fakeface.page.errors import errors_in_a_sentence
from fakeface.page.parts import LIMITS
from fakeface.page.service import judge, judge_file
from fakeface.page.uploads import Sent, as_upload, find_upload, name_of, read_upload, receive
from fakeface.report.html import to_html
from fakeface.report.record import to_dict, to_record
from fakeface.types import FakefaceError, ImageError

# A file as programs send it: an upload, or its address or data URL as text.
File = gr.FileData | str


def check(picture: File, model: str = "") -> AnalysisResult:
    """Judge every face of one picture: was it photographed, or made by an AI?

    Args:
        picture: the file, of any format that fakeface reads, or its web address or data URL.
        model: the name of an installed model; empty for the default one.

    Returns:
        The same object as `python -m fakeface analyse --json`. It is evidence, not proof.
    """
    return compare(picture, [model])


def check_url(url: str, model: str = "") -> AnalysisResult:
    """Judge every face of a picture on the web: was it photographed, or made by an AI?

    Args:
        url: an http or https address of a picture, on a public server.
        model: the name of an installed model; empty for the default one.

    Returns:
        The same object as `python -m fakeface analyse --json`. It is evidence, not proof.
    """
    with errors_in_a_sentence():
        found = fetch.fetch(url)
        return to_dict(judge_file(lambda: found.data, found.name, [model])[0])


def compare(picture: File, models: list[str] | None = None) -> AnalysisResult:
    """Judge every face of one picture by several models.

    Args:
        picture: the file, of any format that fakeface reads, or its web address or data URL.
        models: names of installed models; none for all of them. The first decides on the picture.

    Returns:
        The same object as `python -m fakeface analyse --json`, with a consensus for each face.
    """
    with errors_in_a_sentence(), receive(picture) as upload:
        names = models or [card.name for card in checkpoints.installed()]
        data, file = read_upload(upload)
        return to_dict(judge_file(lambda: data, file, names)[0])


def check_batch(pictures: list[File], model: str = "") -> list[AnalysisResult]:
    """Judge many pictures, or the pictures in ZIP archives, by one model.

    Args:
        pictures: the files, or their web addresses or data URLs.
        model: the name of an installed model; empty for the default one.

    Returns:
        One object a file, as of `check`; a file that is no picture has the status unreadable.
    """
    with errors_in_a_sentence(), ExitStack() as stack:
        found = [_find(picture, stack) for picture in pictures]
        items = stack.enter_context(batch.open_items(found))
        return [to_dict(judge_file(item.read, item.name, [model])[0]) for item in items]


def _find(sent: Sent, stack: ExitStack) -> tuple[Path | ImageError, str]:
    """Where a file of a batch lies until the stack is closed, or why it does not, and its name."""
    try:
        return find_upload(stack.enter_context(receive(sent)))
    except FakefaceError as error:
        return ImageError(str(error)), name_of(as_upload(sent))


def make_report(
    picture: File, models: list[str] | None = None, faithful: bool = False
) -> ReportResult:
    """A report on one picture to keep: one self-contained HTML page, and the same as JSON.

    Args:
        picture: the file, of any format that fakeface reads, or its web address or data URL.
        models: names of installed models; none for the default one. The first decides.
        faithful: measure how faithful the heatmaps are, which takes a few seconds.

    Returns:
        The text of the page, and an object as of `check` with the heatmaps as PNG in data URLs.
    """
    with errors_in_a_sentence(), receive(picture) as upload:
        read = decoder.read_picture(*read_upload(upload))
        analysis = judge(read, models or [""], explain=True, faithful=faithful)
        return {"html": to_html(analysis, read), "json": to_record(analysis)}


def list_models() -> list[ModelResult]:
    """The installed models, as `python -m fakeface models --json` lists them.

    Returns:
        One object a model: its name, title, network, size, test AUC and the sha256 of its weights.
    """
    root = checkpoints.checkpoints_root()
    with errors_in_a_sentence():
        return [zoo.describe(card, root / card.name) for card in checkpoints.installed()]


ENDPOINTS = (check, check_url, compare, make_report, list_models)


def add_endpoints() -> None:
    """Put them on the page."""
    for function in ENDPOINTS:
        add_endpoint(function, **LIMITS)
    add_endpoint(check_batch, concurrency_limit=1, concurrency_id="batch")
