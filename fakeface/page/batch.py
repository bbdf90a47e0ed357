"""The tab Batch: many photos, or archives of them, as a table."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import gradio as gr

from fakeface import batch, scan
from fakeface.page.answers import Sent
from fakeface.page.errors import BUSY, describe_error
from fakeface.page.installed import Installed
from fakeface.page.parts import make_part, make_radio, send_again
from fakeface.page.service import judge_file
from fakeface.page.stopping import admit
from fakeface.page.uploads import Upload, find_upload, hold, name_of
from fakeface.report.pictures import data_url
from fakeface.report.record import to_dict
from fakeface.report.text import count_faces
from fakeface.types import ImageError

THUMBNAIL_SIDE: Final = 72  # pixels
PAUSE: Final = 0.5  # seconds between two states of the table, so that few large messages are sent


def judge_batch(sent: Sent | None, model: str) -> Iterator[dict[str, Any]]:
    """Many files, as the value of assets/table.js, which grows."""
    uploads: list[Upload] = list((sent or {}).get("files", ()))
    header = scan.header(bom=True).decode()  # people open it in Excel
    value: dict[str, Any] = {"rows": [], "done": 0, "total": len(uploads), "header": header}
    with hold(*uploads, *(sent or {}).get("earlier", ())):
        try:
            with admit(), batch.open_items(find_uploads(uploads)) as items:
                value["total"] = len(items)
                yield value
                shown = time.monotonic()
                for item in items:
                    value["rows"] = [*value["rows"], make_row(item, model)]
                    value["done"] += 1
                    if time.monotonic() - shown > PAUSE:
                        yield dict(value)
                        shown = time.monotonic()
            if uploads:
                yield dict(value)
        except Exception as error:  # of a model: those of files are rows
            yield value | {"message": describe_error(error, "batch")}


def find_uploads(uploads: Sequence[Upload]) -> list[tuple[Path | ImageError, str]]:
    """Where each upload lies, or why it is not there, and its name; see `batch.open_items`."""
    found: list[tuple[Path | ImageError, str]] = []
    for upload in uploads:
        try:
            found.append(find_upload(upload))
        except ImageError as error:
            found.append((error, name_of(upload)))
    return found


def make_row(item: batch.Item, model: str) -> dict[str, Any]:
    """One file of a batch: what the table shows of it, and its parts of the CSV and the JSON."""
    analysis, picture = judge_file(item.read, item.name, [model])
    note = analysis.error or ""
    worst = analysis.worst(analysis.models[0])
    if analysis.too_small:
        note = f"{count_faces(analysis)}."
    if worst and not worst.stable:
        note = "The verdict changed when the picture was saved again."
    return {
        "file": analysis.file,
        "status": analysis.status.value,
        "verdict": analysis.verdict,
        "p_fake": analysis.p_fake,
        "faces": len(analysis.faces),
        "note": note,
        "thumbnail": data_url(picture.rgb, THUMBNAIL_SIDE) if picture else "",
        "csv": "".join(scan.line(row).decode() for row in scan.rows(analysis)),
        "json": to_dict(analysis),
    }


def lay_out(installed: Installed) -> None:
    """The tab."""
    with gr.Tab("Batch", elem_id="batch-tab"), gr.Row(elem_classes="sides"):
        with gr.Column(scale=4, min_width=300):
            pick = make_part(
                "pick", uses="post", max_files=batch.MAX_FILES, max_archive=batch.MAX_ARCHIVE
            )
            model = make_radio(installed.choices, installed.default, elem_id="batch-model")
        with gr.Column(scale=7, min_width=300):
            table = make_part("table", value={})
    going = pick.change(
        judge_batch, [pick, model], table,
        api_visibility="private", show_progress="hidden",
        concurrency_limit=1, concurrency_id="batch",
    )  # fmt: skip
    going.failure(None, table, table, js=f"(value) => ({{...value, failed: {json.dumps(BUSY)}}})")
    model.input(None, js=send_again("pick"))
    table.stop(None, cancels=going)
