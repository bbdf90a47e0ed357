"""The tab Models: what each installed model is, what was measured of it, and where it fails."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from fakeface.models import zoo
from fakeface.models.evaluation_sets import set_title
from fakeface.page.installed import Installed
from fakeface.page.parts import make_part, render


def render_models(
    entries: Sequence[zoo.Entry], default: str | None, problems: Sequence[str] = ()
) -> str:
    """Every installed model as HTML.

    Args:
        entries: the models, in order.
        default: the name of the one that judges unless another is chosen.
        problems: sentences to show above them.
    """
    return render(
        "models.html",
        models=entries,
        default=default,
        problems=problems,
        set_title=set_title,
    )


def lay_out(installed: Installed) -> None:
    """The tab."""
    entries = installed.entries()
    gr.set_static_paths([path for entry in entries for path in entry.plots.values()])
    with gr.Tab("Models", elem_id="models-tab"):
        make_part("zoo", value=render_models(entries, installed.default, installed.problems))
