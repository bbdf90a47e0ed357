"""What the page is made of: the files in `assets/`, as Gradio components and as HTML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import gradio as gr

from fakeface.report import html as html_report

ASSETS: Final = Path(__file__).with_name("assets")
TEMPLATES: Final = html_report.environment(ASSETS)
# Of all events that judge a picture, together.
LIMITS: Final[dict[str, Any]] = {"concurrency_limit": 2, "concurrency_id": "models"}


def render(template: str, **values: Any) -> str:
    """The HTML of one template in `assets/`; every value is escaped."""
    return TEMPLATES.get_template(template).render(**values)


def make_part(name: str, elem_id: str = "", *, uses: str = "", **options: Any) -> gr.HTML:
    """A part of the page: assets/NAME.html as its template, with the script of the same name.

    Args:
        name: of the files.
        elem_id: of the element; the name where there is none.
        uses: the name of a script with functions for that script.
        options: of `gr.HTML`; what it does not know is a value for the template and the script.
    """
    scripts = [path for path in (ASSETS / f"{uses}.js", ASSETS / f"{name}.js") if path.exists()]
    return gr.HTML(
        elem_id=elem_id or name,
        elem_classes=[f"part-{name}"],
        html_template=(ASSETS / f"{name}.html").read_text("utf-8"),
        js_on_load="\n".join(path.read_text("utf-8") for path in scripts) or None,
        apply_default_css=False,
        **options,
    )


def make_radio(choices: list[tuple[str, str]], value: str | None, *, elem_id: str) -> gr.Radio:
    """One model to choose; hidden where there is none."""
    return gr.Radio(
        choices, value=value, label="Model", elem_id=elem_id, elem_classes="choice",
        visible=bool(choices),
    )  # fmt: skip


def send_again(elem_id: str) -> str:
    """A script that has a part send its files again, as for another model.

    The server deleted them once they were judged, and the browser kept them.
    """
    return f"() => document.querySelector('#{elem_id} form').dispatchEvent(new Event('again'))"


def answer_busy(**value: Any) -> str:
    """A script that gives a part this value where the queue is full."""
    return f"() => ({json.dumps(value)})"
