"""The tab Compare: one photo by several models side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence

import gradio as gr

from fakeface.page.answers import (
    Answer,
    Sent,
    answer,
    render_analysis,
    render_blank,
    render_error,
)
from fakeface.page.check import make_drop
from fakeface.page.errors import BUSY, describe_error
from fakeface.page.examples import Example
from fakeface.page.installed import Installed
from fakeface.page.parts import LIMITS, answer_busy, make_part, send_again
from fakeface.page.service import judge, load_tools
from fakeface.types import FakefaceError, Picture


def compare_models(sent: Sent | None, models: Sequence[str]) -> Answer:
    """One picture by several models, as the value of assets/answer.js."""
    return answer(sent, "compare", lambda picture: _show(picture, models))


def _show(picture: Picture, names: Sequence[str]) -> Answer:
    """A model that cannot be loaded is told and left out."""
    started = time.perf_counter()
    usable, problems = [], []
    for name in names:
        try:
            load_tools(name)
            usable.append(name)
        except FakefaceError as error:
            problems.append(describe_error(error))
    if not usable:
        raise FakefaceError(" ".join(problems) or "Choose at least one model to judge the photo.")
    analysis = judge(picture, usable, explain=True)
    html = render_analysis(analysis, picture, view="compare", started=started, problems=problems)
    return {"html": html}


def lay_out(installed: Installed, examples: Sequence[Example]) -> None:
    """The tab."""
    problem = installed.problem
    blank = render_error("compare", problem) if problem else render_blank("compare")
    with gr.Tab("Compare", elem_id="compare-tab"), gr.Row(elem_classes="sides"):
        with gr.Column(scale=4, min_width=300):
            drop = make_drop("compare-drop", examples)
            models = gr.CheckboxGroup(
                installed.choices, value=installed.good,
                label="Models", elem_id="models", elem_classes="choice",
                visible=bool(installed.choices),
            )  # fmt: skip
        with gr.Column(scale=7, min_width=300):
            shown = make_part(
                "answer", "compared", value={"html": blank}, drop="#compare-drop form"
            )
    sending = drop.change(
        compare_models, [drop, models], shown,
        api_visibility="private", show_progress="minimal", **LIMITS,
    )  # fmt: skip
    sending.failure(None, None, shown, js=answer_busy(html=render_error("compare", BUSY)))
    models.input(None, js=send_again("compare-drop"))
