"""The tab Models: what each installed model is, what was measured of it, and where it fails."""

from __future__ import annotations

from collections.abc import Iterable

import gradio as gr

from fakeface.models import zoo
from fakeface.page.installed import Installed
from fakeface.page.parts import make_part, render


def render_models(entries: Iterable[zoo.Entry], default: str | None, problem: str = "") -> str:
    """Every installed model as HTML.

    Args:
        entries: the models, in order.
        default: the name of the one that judges unless another is chosen.
        problem: a sentence to show above them.
    """
    return render(
        "models.html",
        models=list(entries),
        default=default,
        problems=[problem] if problem else [],
        set_title=zoo.set_title,
    )


def lay_out(installed: Installed) -> None:
    """The tab."""
    entries = installed.entries()
    gr.set_static_paths([path for entry in entries for path in entry.plots.values()])
    with gr.Tab("Models", elem_id="models-tab"):
        make_part("zoo", value=render_models(entries, installed.default, installed.problem))
