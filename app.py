"""The page: `python app.py`, then http://127.0.0.1:7860. Hugging Face Spaces starts this same file.

Handlers are plain functions that call `fakeface`; the layout stands below them. What the page
looks like, and how it takes a picture in, is in `assets/`. With `--mcp` it is an MCP server too.
"""

import argparse
import functools
import importlib
import importlib.util
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

# On Hugging Face's ZeroGPU this package lends the GPU, and wants to be there before torch.
spaces = importlib.import_module("spaces") if importlib.util.find_spec("spaces") else None

import gradio as gr  # noqa: E402
from gradio.utils import get_upload_folder  # noqa: E402

from fakeface import analyse, batch, faces, scan  # noqa: E402
from fakeface.contract import AnalysisResult, ModelResult, ReportResult  # noqa: E402
from fakeface.images import decoder as images  # noqa: E402
from fakeface.images import fetch  # noqa: E402
from fakeface.models import checkpoints, zoo  # noqa: E402
from fakeface.models.engine import Model  # noqa: E402
from fakeface.models.evaluation_sets import set_title  # noqa: E402
from fakeface.report import html as html_report  # noqa: E402
from fakeface.report.pictures import data_url, embed  # noqa: E402
from fakeface.report.record import to_dict, to_record  # noqa: E402
from fakeface.types import Analysis, FakefaceError, ImageError, Picture  # noqa: E402

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent
ASSETS = ROOT / "assets"
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
THUMBNAIL_SIDE = 72  # pixels, of a row of a batch
TEMPLATES = html_report.environment(ASSETS)

# Everything that is loaded once and shared by all requests is in these two caches; the lock lets
# one thread load while the others wait. A failure is not kept: a repaired model needs no restart.
_loading = threading.Lock()
_model = functools.cache(checkpoints.load)
_detector = faces.DetectorSource().get


def tools(*names: str) -> tuple[list[Model], faces.Detector]:
    """The models of those names (empty: the default one) and the face detector, ready to use."""
    with _loading:
        return [_model(name or checkpoints.default()) for name in names or ("",)], _detector()


Handler = TypeVar("Handler", bound=Callable[..., Any])


def on_gpu(handler: Handler) -> Handler:
    """Borrow a GPU for each call, where the machine lends them out (ZeroGPU)."""
    return spaces.GPU(handler) if spaces else handler


@on_gpu
def judge(picture: Picture, names: Sequence[str], **options: Any) -> Analysis:
    """What models say of one picture; see `analyse.analyse` for the options."""
    models, detector = tools(*names)
    return analyse.analyse(picture, models=models, detector=detector, **options)


def judge_file(
    read: Callable[[], bytes], file: str, names: Sequence[str]
) -> tuple[Analysis, Picture | None]:
    """What models say of one file, and its picture where it is one."""
    names = [name or checkpoints.default() for name in names]
    picture = analyse.read_or_report(read, file, names)
    if isinstance(picture, Analysis):
        return picture, None
    return judge(picture, names), picture


# What is sent to the page ---------------------------------------------------------------------


def uploaded(upload: Mapping[str, Any]) -> tuple[Path, str]:
    """Where an upload lies, and the name its owner gave it.

    Raises:
        ImageError: it is gone, or was never uploaded: a forged request could name any file.
    """
    path = Path(str(upload.get("path"))).resolve()
    if not path.is_relative_to(Path(get_upload_folder()).resolve()) or not path.is_file():
        raise ImageError("This picture is no longer on the server; choose it again.")
    return path, Path(upload.get("orig_name") or path.name).name


def discard(upload: Mapping[str, Any]) -> None:
    """Delete an upload; its folder goes too, since its name is the hash of the file."""
    with suppress(ImageError, OSError):
        path, _ = uploaded(upload)
        path.unlink()
        path.parent.rmdir()


def received(sent: Mapping[str, Any]) -> tuple[bytes, str]:
    """The bytes and the name of an upload, or of what lies at an address on the web."""
    if "address" in sent:
        found = fetch.fetch(str(sent["address"]))
        return found.data, found.name
    path, name = uploaded(sent.get("file", {}))
    return images.read_bytes(path), name


@contextmanager
def taken(picture: Mapping[str, Any]) -> Iterator[tuple[bytes, str]]:
    """The bytes and the name of an upload, which is deleted at the end."""
    try:
        yield received({"file": picture})
    finally:
        discard(picture)


def told(error: Exception, what: str = "picture") -> str:
    """An error for visitors, to whom folders of this machine and tracebacks mean nothing."""
    if isinstance(error, FakefaceError):
        return str(error).replace(f"{checkpoints.checkpoints_root()}{os.sep}", "")
    log.error("A request could not be answered", exc_info=error)
    return f"Something went wrong in fakeface itself; try another {what}."


# What the page shows --------------------------------------------------------------------------


def check_page(sent: dict[str, Any] | None, model: str) -> dict[str, Any]:
    """One picture by one model, as the value of assets/answer.js."""
    return answered(sent, "check", lambda data, file, how: show_check(data, file, model, **how))


def compare_page(sent: dict[str, Any] | None, models: list[str]) -> dict[str, Any]:
    """One picture by several models side by side."""
    return answered(sent, "compare", lambda data, file, _: show_compare(data, file, models))


def answered(
    sent: dict[str, Any] | None,
    view: str,
    show: Callable[[bytes, str, dict[str, bool]], dict[str, Any]],
) -> dict[str, Any]:
    """Show what was sent, and delete it; whatever goes wrong becomes a sentence in the HTML."""
    if not sent:
        return {"html": render(state="empty", view=view)}
    try:
        data, file = received(sent)
        return show(data, file, {"faithful": bool(sent.get("faithful"))})
    except Exception as error:
        sentence = told(error)
    finally:
        for upload in (sent.get("file", {}), *sent.get("earlier", [])):
            discard(upload)
    name = sent.get("address") or sent.get("file", {}).get("orig_name")
    return {"html": render(state="error", view=view, file=name, message=sentence)}


def show_check(data: bytes, file: str, model: str, *, faithful: bool) -> dict[str, Any]:
    """The answer of the first tab, and the report to take along."""
    started = time.perf_counter()
    picture = images.read_picture(data, file)
    analysis = judge(picture, [model], explain=True, faithful=faithful)
    return {
        "html": show(analysis, picture, started, view="check"),
        "report": {
            "name": f"fakeface-{analysis.sha256[:12]}",
            "html": html_report.to_html(analysis, picture),
            "json": json.dumps(to_record(analysis), indent=2, ensure_ascii=False),
        },
    }


def show_compare(data: bytes, file: str, names: Sequence[str]) -> dict[str, Any]:
    """The answer of the second tab; a model that cannot be loaded is told and left out."""
    started = time.perf_counter()
    usable, problems = [], []
    for name in names:
        try:
            tools(name)
            usable.append(name)
        except FakefaceError as error:
            problems.append(told(error))
    if not usable:
        raise FakefaceError(" ".join(problems) or "Choose at least one model to judge the photo.")
    picture = images.read_picture(data, file)
    analysis = judge(picture, usable, explain=True)
    return {"html": show(analysis, picture, started, view="compare", problems=problems)}


def show(
    analysis: Analysis,
    picture: Picture,
    started: float,
    *,
    view: str,
    problems: Sequence[str] = (),
) -> str:
    """An analysis and its picture as HTML."""
    cards = checkpoints.installed()
    return render(
        state=analysis.status.value,
        view=view,
        analysis=analysis,
        titles={card.name: zoo.title(card) for card in cards},
        judges={judge.model: judge for judge in analysis.judges},
        problems=problems,
        others=len(cards) > 1,
        seconds=time.perf_counter() - started,
        **embed(picture),
    )


def render(**values: Any) -> str:
    """The HTML of a result; see assets/result.html."""
    blank = {"analysis": None, "file": "", "message": ""}
    return TEMPLATES.get_template("result.html").render(blank | values)


def batch_page(sent: dict[str, Any] | None, model: str) -> Iterator[dict[str, Any]]:
    """Many files, as the value of assets/table.js: it grows, and half a second may pass unseen."""
    uploads = (sent or {}).get("files", [])
    value: dict[str, Any] = {"rows": [], "done": 0, "total": len(uploads), "header": csv_header()}
    try:
        with batch.open_items([uploaded(upload) for upload in uploads]) as items:
            value["total"] = len(items)
            yield value
            shown = time.monotonic()
            for item in items:
                value["rows"] = [*value["rows"], batch_row(item, model)]
                value["done"] += 1
                if time.monotonic() - shown > 0.5:
                    yield dict(value)
                    shown = time.monotonic()
        if uploads:
            yield dict(value)
    except Exception as error:  # of a model: those of files are rows
        yield value | {"message": told(error, "batch")}
    finally:
        for upload in (*uploads, *(sent or {}).get("earlier", [])):
            discard(upload)


def batch_row(item: batch.Item, model: str) -> dict[str, Any]:
    """One file of a batch: what the table shows of it, and its parts of the CSV and the JSON."""
    analysis, picture = judge_file(item.read, item.name, [model])
    note = analysis.error or ""
    worst = analysis.worst(analysis.models[0])
    if worst and not worst.stable:
        note = "It flipped when the picture was saved again."
    return {
        "file": analysis.file,
        "status": analysis.status.value,
        "verdict": analysis.verdict,
        "p_fake": analysis.p_fake,
        "faces": len(analysis.faces),
        "note": note,
        "thumbnail": data_url(picture.rgb, THUMBNAIL_SIDE) if picture else "",
        "csv": "".join(scan.line(row).decode(errors="replace") for row in scan.rows(analysis)),
        "json": to_dict(analysis),
    }


def csv_header() -> str:
    """The first line of a table, as `python -m fakeface scan` writes it."""
    return scan.line(scan.COLUMNS).decode()


# The models on show ---------------------------------------------------------------------------


def models_page(entries: Sequence[zoo.Entry], default: str | None, problems: Sequence[str]) -> str:
    """Every installed model: its card, what was measured, and where it fails."""
    return TEMPLATES.get_template("models.html").render(
        models=sorted(entries, key=lambda entry: entry.card.name != default),
        default=default,
        problems=problems,
        set_title=set_title,
    )


# For programs ---------------------------------------------------------------------------------


@contextmanager
def in_a_sentence() -> Iterator[None]:
    """Programs get every error as one sentence."""
    try:
        yield
    except Exception as error:
        raise gr.Error(told(error), print_exception=False) from error


def check(picture: gr.FileData, model: str = "") -> AnalysisResult:
    """Judge every face of one picture: was it photographed, or made by an AI?

    Args:
        picture: the file, of any format that fakeface reads.
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
    with in_a_sentence():
        found = fetch.fetch(url)
        return to_dict(judge_file(lambda: found.data, found.name, [model])[0])


def compare(picture: gr.FileData, models: list[str] | None = None) -> AnalysisResult:
    """Judge every face of one picture by several models.

    Args:
        picture: the file, of any format that fakeface reads.
        models: names of installed models; none for all of them. The first decides on the picture.

    Returns:
        The same object as `python -m fakeface analyse --json`, with a consensus for each face.
    """
    with in_a_sentence(), taken(picture) as (data, file):
        names = models or [card.name for card in checkpoints.installed()]
        return to_dict(judge_file(lambda: data, file, names)[0])


def check_batch(pictures: list[gr.FileData], model: str = "") -> list[AnalysisResult]:
    """Judge many pictures, or the pictures in ZIP archives, by one model.

    Args:
        pictures: the files.
        model: the name of an installed model; empty for the default one.

    Returns:
        One object a file, as of `check`; a file that is no picture has the status unreadable.
    """
    try:
        with (
            in_a_sentence(),
            batch.open_items([uploaded(picture) for picture in pictures]) as items,
        ):
            return [to_dict(judge_file(item.read, item.name, [model])[0]) for item in items]
    finally:
        for picture in pictures:
            discard(picture)


def make_report(
    picture: gr.FileData, models: list[str] | None = None, faithful: bool = False
) -> ReportResult:
    """A report on one picture to keep: one self-contained HTML page, and the same as JSON.

    Args:
        picture: the file, of any format that fakeface reads.
        models: names of installed models; none for the default one. The first decides.
        faithful: measure how faithful the heatmaps are, which takes a few seconds.

    Returns:
        The text of the page, and an object as of `check` with the heatmaps as PNG in data URLs.
    """
    with in_a_sentence(), taken(picture) as (data, file):
        read = images.read_picture(data, file)
        analysis = judge(read, models or [""], explain=True, faithful=faithful)
        return {"html": html_report.to_html(analysis, read), "json": to_record(analysis)}


def list_models() -> list[ModelResult]:
    """The installed models, as `python -m fakeface models --json` lists them.

    Returns:
        One object a model: its name, title, network, size, test AUC and the sha256 of its weights.
    """
    root = checkpoints.checkpoints_root()
    with in_a_sentence():
        return [zoo.describe(card, root / card.name) for card in checkpoints.installed()]


# The layout -----------------------------------------------------------------------------------


def example_paths() -> dict[str, Path]:
    """Caption and path of pictures that are free to ship; see examples/README.md."""
    pictures = (path for path in sorted((ROOT / "examples").iterdir()) if path.suffix in SUFFIXES)
    paths = {path.stem.replace("_", " ").capitalize(): path for path in pictures}
    spec = importlib.util.find_spec("matplotlib")  # its portrait is wanted, not its code
    if spec and spec.origin:
        portrait = Path(spec.origin).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"
        if portrait.is_file():
            paths = {"Grace Hopper": portrait} | paths
    return paths


def part(name: str, elem_id: str = "", **options: Any) -> gr.HTML:
    """A part of the page: assets/NAME.html as its template, with the script of the same name."""
    script = ASSETS / f"{name}.js"
    return gr.HTML(
        elem_id=elem_id or name,
        elem_classes=[f"part-{name}"],
        html_template=(ASSETS / f"{name}.html").read_text("utf-8"),
        js_on_load=script.read_text("utf-8") if script.exists() else None,
        apply_default_css=False,
        **options,
    )


BUSY = "The server is busy, and its queue is full; try again in a minute."
LIMITS = {"concurrency_limit": 2, "concurrency_id": "models"}


def build() -> gr.Blocks:
    """The layout."""
    cards, default, problem = (), None, ""
    try:
        cards, default = checkpoints.installed(), checkpoints.default()
    except FakefaceError as error:
        problem = told(error)
    root = checkpoints.checkpoints_root()
    problems = [told(error) for error in checkpoints.broken().values()]
    problems = problems or ([problem] if problem else [])
    entries = [zoo.make_entry(card, root / card.name) for card in cards]
    first, busy = (
        {
            view: {"html": render(state=state, view=view, message=message)}
            for view in ("check", "compare")
        }
        for state, message in (("error" if problem else "empty", problem), ("error", BUSY))
    )
    paths = example_paths()
    plots = [path for entry in entries for path in entry.plots.values()]
    gr.set_static_paths([*paths.values(), *plots])
    examples = [(name, path.name, f"gradio_api/file={path}") for name, path in paths.items()]
    choices = [(zoo.title(card), card.name) for card in cards]
    photo = {"examples": examples, "max_bytes": images.MAX_BYTES}
    # The server deleted the file and the browser kept it: a new model needs it sent again.
    again = "() => document.querySelector('#{} form').dispatchEvent(new Event('again'))".format

    with gr.Blocks(title="fakeface", analytics_enabled=False, delete_cache=(60, 120)) as page:
        part("header")
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Check", elem_id="check-tab"), gr.Row(elem_classes="sides"):
                with gr.Column(scale=4, min_width=300):
                    drop = part("drop", **photo, uid="check", lends_to="#compare-tab-button")
                    model = radio(choices, default, elem_id="model")
                with gr.Column(scale=7, min_width=300):
                    answer = part("answer", value=first["check"], drop="#drop form")
            with gr.Tab("Compare", elem_id="compare-tab"), gr.Row(elem_classes="sides"):
                with gr.Column(scale=4, min_width=300):
                    other = part("drop", "compare-drop", **photo, uid="compare", lends_to="")
                    models = gr.CheckboxGroup(
                        choices, value=[card.name for card in cards if not zoo.weak(card)],
                        label="Models", elem_id="models", elem_classes="choice",
                        visible=bool(choices),
                    )  # fmt: skip
                with gr.Column(scale=7, min_width=300):
                    compared = part(
                        "answer", "compared", value=first["compare"], drop="#compare-drop form"
                    )
            with gr.Tab("Batch", elem_id="batch-tab"), gr.Row(elem_classes="sides"):
                with gr.Column(scale=4, min_width=300):
                    sizes = {"max_files": batch.MAX_FILES, "max_archive": batch.MAX_ARCHIVE}
                    pick = part("pick", **sizes)
                    batch_model = radio(choices, default, elem_id="batch-model")
                with gr.Column(scale=7, min_width=300):
                    table = part("table", value={})
            with gr.Tab("Models", elem_id="models-tab"):
                part("shelf", value=models_page(entries, default, problems))
        part("footer")

        for sender, chosen, result, handler, view in (
            (drop, model, answer, check_page, "check"),
            (other, models, compared, compare_page, "compare"),
        ):
            sent = sender.change(
                handler, [sender, chosen], result,
                api_visibility="private", show_progress="minimal", **LIMITS,
            )  # fmt: skip
            sent.failure(None, None, result, js=f"() => ({json.dumps(busy[view])})")
            chosen.input(None, js=again(sender.elem_id))
        going = pick.change(
            batch_page, [pick, batch_model], table,
            api_visibility="private", show_progress="hidden",
            concurrency_limit=1, concurrency_id="batch",
        )  # fmt: skip
        going.failure(
            None, table, table, js=f"(value) => ({{...value, failed: {json.dumps(BUSY)}}})"
        )
        batch_model.input(None, js=again("pick"))
        table.stop(None, cancels=going)

        for function in (check, check_url, compare, make_report, list_models):
            gr.api(function, **LIMITS)
        gr.api(check_batch, concurrency_limit=1, concurrency_id="batch")
    return page


def radio(choices: list[tuple[str, str]], value: str | None, *, elem_id: str) -> gr.Radio:
    """One model to choose."""
    return gr.Radio(
        choices, value=value, label="Model", elem_id=elem_id, elem_classes="choice",
        visible=bool(choices),
    )  # fmt: skip


def warm_up() -> None:
    """Judge one picture ahead of the first visitor, since that is what loads everything."""
    try:
        judge(images.open_picture(example_paths()["Grace Hopper"]), [""], explain=True)
    except (FakefaceError, KeyError) as error:
        log.warning("%s", error)


def main(argv: Sequence[str] | None = None) -> None:
    """Start the page and, where asked for, the MCP server."""
    parser = argparse.ArgumentParser(description="Serves the page of fakeface.")
    parser.add_argument(
        "--mcp",
        action="store_true",
        default=os.environ.get("FAKEFACE_MCP") == "1",
        help="be a server of the Model Context Protocol too, which needs gradio[mcp]",
    )
    options = parser.parse_args(argv)
    if options.mcp and not importlib.util.find_spec("mcp"):
        sys.exit('fakeface: --mcp needs one more package; run: pip install "gradio[mcp]"')
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    threading.Thread(target=warm_up, daemon=True).start()
    serve(mcp=options.mcp)


def serve(*, queue: int = 64, mcp: bool = False, **options: Any) -> gr.Blocks:
    """Open the page to visitors.

    Args:
        queue: how many may wait before the next is told that the server is busy.
        mcp: serve the API to MCP clients too.
        options: of `gr.Blocks.launch`.
    """
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    page = build().queue(max_size=queue)
    page.launch(
        theme=gr.themes.Base(**fonts),
        css_paths=ASSETS / "page.css",
        max_file_size=batch.MAX_ARCHIVE,
        footer_links=["api"],
        mcp_server=mcp,
        show_error=True,  # or MCP clients are not told; `in_a_sentence` leaves nothing else to see
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        **options,
    )
    return page


if __name__ == "__main__":
    main()
