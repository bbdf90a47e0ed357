"""One photo and what models say of it, as the value of assets/answer.js; for Check and Compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from fakeface.images import decoder, fetch
from fakeface.page.errors import describe_error
from fakeface.page.parts import render
from fakeface.page.stopping import admit
from fakeface.page.uploads import Upload, hold, name_of, read_upload
from fakeface.report.pictures import embed
from fakeface.types import Analysis, Picture

Sent: TypeAlias = Mapping[str, Any]  # of assets/drop.js: "file", an upload, or "address"; and more
Answer: TypeAlias = dict[str, Any]
View: TypeAlias = Literal["check", "compare"]


def read_sent(sent: Sent) -> Picture:
    """The picture that was uploaded, or that lies at an address on the web.

    Raises:
        ImageError: it is gone, or no picture.
        FetchError: it cannot be fetched.
    """
    if "address" in sent:
        found = fetch.fetch(str(sent["address"]))
        return decoder.read_picture(found.data, found.name)
    return decoder.read_picture(*read_upload(sent.get("file") or {}))


def uploads_of(sent: Sent) -> list[Upload]:
    """Every upload that a message names: its file, and those that were given up before it."""
    return [upload for upload in (sent.get("file"), *sent.get("earlier", ())) if upload]


def answer(sent: Sent | None, view: View, show: Callable[[Picture], Answer]) -> Answer:
    """Show the picture that was sent; whatever goes wrong becomes a sentence in the HTML."""
    if not sent:
        return {"html": render_blank(view)}
    with hold(*uploads_of(sent)):
        try:
            with admit():
                return show(read_sent(sent))
        except Exception as error:
            name = str(sent.get("address") or name_of(sent.get("file") or {}))
            return {"html": render_error(view, describe_error(error), name)}


def render_blank(view: View) -> str:
    """The HTML before there is a photo."""
    return render("result.html", state="empty", view=view, analysis=None)


def render_error(view: View, message: str, file: str = "") -> str:
    """The HTML of a sentence that says what went wrong."""
    return render(
        "result.html", state="error", view=view, analysis=None, message=message, file=file
    )


def render_analysis(
    analysis: Analysis,
    picture: Picture,
    *,
    view: View,
    started: float,
    problems: Sequence[str] = (),
    others: bool = False,
) -> str:
    """The HTML of an analysis.

    Args:
        analysis: with a heatmap for each face and model.
        picture: that was analysed.
        view: `check` shows the first model, `compare` all of them.
        started: when the work on it began, by `time.perf_counter`.
        problems: sentences to show above it.
        others: other models are installed, to compare with.
    """
    return render(
        "result.html",
        state=analysis.status.value,
        view=view,
        analysis=analysis,
        judges={judge.model: judge for judge in analysis.judges},
        problems=problems,
        others=others,
        seconds=time.perf_counter() - started,
        **embed(picture, analysis),
    )
