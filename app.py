"""The page: `python app.py`, then http://127.0.0.1:7860. Hugging Face Spaces starts this same file.

Each tab is a module of `fakeface.page`; here they are put together and opened to visitors. With
`--mcp` the page is an MCP server too.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from fakeface.batch import MAX_ARCHIVE
from fakeface.page import (
    admission,
    api,
    batch,
    check,
    compare,
    models,
    security,
    service,
    stopping,
    uploads,
)
from fakeface.page.examples import read_examples
from fakeface.page.installed import list_installed
from fakeface.page.parts import ASSETS, make_part
from fakeface.secrets import redact_errors

EXAMPLES = Path(__file__).resolve().parent / "examples"
# Of how many visits Gradio keeps its copy of the page's layout, some 100 KiB each, and each call of
# a program is one. Nothing is stored in them, so a visit loses nothing when its copy goes.
SESSIONS = 64


def build() -> gr.Blocks:
    """The layout: a header, the four tabs, a footer, and the API."""
    installed = list_installed()
    examples = read_examples(EXAMPLES)
    gr.set_static_paths([example.path for example in examples])
    # Gradio deletes uploads that no request asked for, and looks for them every ten minutes.
    forget = (600, uploads.KEEP)
    page: gr.Blocks
    with uploads.Page(title="fakeface", analytics_enabled=False, delete_cache=forget) as page:
        make_part("header")
        with gr.Tabs(elem_id="tabs"):
            check.lay_out(installed, examples)
            compare.lay_out(installed, examples)
            batch.lay_out(installed)
            models.lay_out(installed)
        make_part("footer")
        api.add_endpoints()
    return page


def serve(*, queue: int = 64, mcp: bool = False, **options: Any) -> gr.Blocks:
    """Open the page to visitors.

    Args:
        queue: how many may wait before the next is told that the server is busy.
        mcp: serve the API to MCP clients too.
        options: of `gr.Blocks.launch`.
    """
    page = build()
    # Gradio would sum up all earlier requests after each one, for a page that is not opened here.
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(sys.maxsize)
    page.queue(max_size=admission.bound(queue))
    if threading.current_thread() is threading.main_thread():
        stopping.stop_on_sigterm(page)
    page.launch(
        theme=gr.themes.Base(
            font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
        ),
        css_paths=ASSETS / "page.css",
        max_file_size=MAX_ARCHIVE,
        footer_links=["api"],
        mcp_server=mcp,
        show_error=True,  # or MCP clients are not told; each error is one sentence already
        run_history=False,
        state_session_capacity=SESSIONS,
        enable_monitoring=False,
        ssr_mode=False,
        app_kwargs={
            "routes": [uploads.ROUTE],
            "middleware": [security.MIDDLEWARE, Middleware(admission.Admission, places=queue)],
        },
        **options,
    )
    return page


def main(argv: Sequence[str] | None = None) -> None:
    """Start the page and, where asked for, the MCP server."""
    parser = argparse.ArgumentParser(description="Serves the page of fakeface.")
    parser.add_argument(
        "--mcp",
        action="store_true",
        default=os.environ.get("FAKEFACE_MCP") == "1",
        help="be a server of the Model Context Protocol too, which needs gradio[mcp]",
    )
    parser.add_argument(
        "--queue",
        type=int,
        default=64,
        help="how many requests may wait; the next is told that the server is busy (%(default)s)",
    )
    options = parser.parse_args(argv)
    if options.mcp and not importlib.util.find_spec("mcp"):
        sys.exit('fakeface: --mcp needs one more package; run: pip install "gradio[mcp]"')
    redact_errors()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    service.prepare(EXAMPLES / "grace_hopper.jpg")
    serve(queue=options.queue, mcp=options.mcp)


if __name__ == "__main__":
    main()
