"""The tab Check: one photo by one model, and a report on it to keep."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, Literal

import gradio as gr

from fakeface.images import decoder
from fakeface.page.answers import (
    Answer,
    Sent,
    answer,
    read_sent,
    render_analysis,
    render_blank,
    render_error,
    uploads_of,
)
from fakeface.page.errors import BUSY, describe_error
from fakeface.page.examples import Example
from fakeface.page.installed import Installed
from fakeface.page.parts import LIMITS, answer_busy, make_part, make_radio, send_again
from fakeface.page.service import judge
from fakeface.page.stopping import admit
from fakeface.page.uploads import hold
from fakeface.report.html import to_html
from fakeface.report.record import to_record
from fakeface.types import FakefaceError, Picture


def check_photo(sent: Sent | None, model: str, *, others: bool = False) -> Answer:
    """One picture by one model, as the value of assets/answer.js.

    Args:
        sent: by the browser.
        model: its name.
        others: other models are installed, to compare with.
    """
    faithful = bool((sent or {}).get("faithful"))
    return answer(sent, "check", lambda picture: _show(picture, model, faithful, others))


def _show(picture: Picture, model: str, faithful: bool, others: bool) -> Answer:
    started = time.perf_counter()
    analysis = judge(picture, [model], explain=True, faithful=faithful)
    html = render_analysis(analysis, picture, view="check", started=started, others=others)
    # What the browser sends back, with the photo, when it wants a report on this answer.
    (name,) = analysis.models
    return {
        "html": html,
        "report": {"sha256": analysis.sha256, "model": name, "faithful": faithful},
    }


def make_report(sent: Sent) -> dict[str, Any]:
    """A report on a photo that was judged before, as the value of assets/report.js.

    Nothing of a photo is kept here, so the browser sends it again, and it is judged again: the
    same bytes give the same answer but for the date and the time it took.

    Args:
        sent: as for `check_photo`, with `kind`, "html" or "json"; `sha256`, `model` and `faithful`
            of the answer; and `ticket`, which comes back.

    Returns:
        `name`, `type` and `text` of a file, or a `message` that says what went wrong.
    """
    try:
        with hold(*uploads_of(sent)), admit():
            picture = read_sent(sent)
            if picture.sha256 != sent.get("sha256"):
                raise FakefaceError("What lies at this address has changed; fetch it again.")
            faithful = bool(sent.get("faithful"))
            analysis = judge(picture, [str(sent.get("model"))], explain=True, faithful=faithful)
        kind: Literal["html", "json"] = "json" if sent.get("kind") == "json" else "html"
        if kind == "html":
            text = to_html(analysis, picture)
        else:
            text = json.dumps(to_record(analysis), indent=2, ensure_ascii=False)
    except Exception as error:
        return {"message": describe_error(error), "ticket": sent.get("ticket")}
    return {
        "name": f"fakeface-{analysis.sha256[:12]}.{kind}",
        "type": "application/json" if kind == "json" else "text/html",
        "text": text,
        "ticket": sent.get("ticket"),
    }


def make_drop(elem_id: str, examples: Sequence[Example], *, lends_to: str = "") -> gr.HTML:
    """Where a photo is chosen, dropped, pasted, taken or fetched.

    Args:
        elem_id: of the element.
        examples: to try; they must be static paths of Gradio's.
        lends_to: a selector of what to click so that another tab takes the same photo.
    """
    shown = [
        {
            "title": example.title,
            "made": example.made,
            "file": example.path.name,
            "url": f"gradio_api/file={example.path}",
        }
        for example in examples
    ]
    return make_part(
        "drop", elem_id, uses="post",
        uid=elem_id, examples=shown, max_bytes=decoder.MAX_BYTES, lends_to=lends_to,
    )  # fmt: skip


def lay_out(installed: Installed, examples: Sequence[Example]) -> None:
    """The tab."""
    blank = render_error("check", installed.problem) if installed.problem else render_blank("check")
    with gr.Tab("Check", elem_id="check-tab"), gr.Row(elem_classes="sides"):
        with gr.Column(scale=4, min_width=300):
            drop = make_drop("drop", examples, lends_to="#compare-tab-button")
            model = make_radio(installed.choices, installed.default, elem_id="model")
        with gr.Column(scale=7, min_width=300):
            shown = make_part("answer", value={"html": blank}, drop="#drop form")
            report = make_part("report", value={})

    def check_one(sent: Sent | None, name: str) -> Answer:
        return check_photo(sent, name, others=len(installed.cards) > 1)

    def report_on(event: gr.EventData) -> dict[str, Any]:
        return make_report(event._data or {})

    sending = drop.change(
        check_one, [drop, model], shown,
        api_visibility="private", show_progress="minimal", **LIMITS,
    )  # fmt: skip
    sending.failure(None, None, shown, js=answer_busy(html=render_error("check", BUSY)))
    model.input(None, js=send_again("drop"))
    reporting = drop.report(
        report_on, None, report, api_visibility="private", show_progress="hidden", **LIMITS
    )
    reporting.failure(None, None, report, js=answer_busy(message=BUSY))
