"""The page: `python app.py`, then http://127.0.0.1:7860. Hugging Face Spaces starts this same file.

Handlers are plain functions that call `fakeface`; the layout stands below them. What the page
looks like, and how it takes a picture in, is in `assets/`.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import importlib.util
import logging
import threading
import time
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import jinja2
import numpy as np
from gradio.utils import get_upload_folder
from PIL import Image

from fakeface import analyse, checkpoints, faces, images, report
from fakeface.engine import Model
from fakeface.types import RGB, Analysis, Box, FakefaceError, Heatmap, ImageError, Status

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent
ASSETS = ROOT / "assets"
PICTURE_SIDE, FACE_SIDE = 1280, 320  # pixels, at most, of what goes back to the browser
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(ASSETS), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
TEMPLATES.filters["percent"] = report.percent

# Everything that is loaded once and shared by all requests is in these two caches; the lock lets
# one thread load while the others wait. A failure is not kept: a repaired model needs no restart.
_loading = threading.Lock()
_model = functools.cache(checkpoints.load)
_detector = functools.cache(faces.open_detector)


def tools(model: str) -> tuple[Model, faces.Detector]:
    """The model of that name (empty: the default one) and the face detector, ready to use."""
    with _loading:
        return _model(model or checkpoints.default()), _detector()


def judge(path: Path, file: str, model: str, *, explain: bool) -> Analysis:
    """What one model says of one picture; `file` is the name to report."""
    loaded, detector = tools(model)
    found = analyse.analyse_file(path, models=[loaded], detector=detector, explain=explain)
    return dataclasses.replace(found, file=file)


def uploaded(upload: dict[str, Any]) -> tuple[Path, str]:
    """Where an upload lies, and the name its owner gave it.

    Raises:
        ImageError: it is gone, or was never uploaded: a forged request could name any file.
    """
    path = Path(str(upload.get("path"))).resolve()
    if not path.is_relative_to(Path(get_upload_folder()).resolve()) or not path.is_file():
        raise ImageError("This picture is no longer on the server; choose it again.")
    return path, Path(upload.get("orig_name") or path.name).name


def discard(upload: dict[str, Any]) -> None:
    """Delete an upload; its folder goes too, since its name is the hash of the file."""
    with suppress(ImageError, OSError):
        path, _ = uploaded(upload)
        path.unlink()
        path.parent.rmdir()


def check_page(upload: dict[str, Any] | None, model: str) -> str:
    """One picture as the HTML of its result; whatever goes wrong becomes a sentence in it."""
    if not upload:
        return render(state="empty")
    started = time.perf_counter()
    try:
        path, file = uploaded(upload)
        analysis = judge(path, file, model, explain=True)
        if analysis.status is Status.UNREADABLE:
            raise ImageError(analysis.error)
        return show(analysis, images.decode(path.read_bytes()), started)
    except FakefaceError as error:
        sentence = str(error)
    except Exception:
        log.exception("A picture could not be judged")
        sentence = "Something went wrong in fakeface itself; try another picture."
    finally:
        discard(upload)
    return render(state="error", file=upload.get("orig_name"), message=sentence)


def check(picture: gr.FileData, model: str = "") -> dict[str, Any]:
    """Judge every face of one picture.

    Args:
        picture: the file, of any format that fakeface reads.
        model: the name of an installed model; empty for the default one.

    Returns:
        The same dictionary as `python -m fakeface analyse --json`.
    """
    try:
        path, file = uploaded(dict(picture))
        return report.to_dict(judge(path, file, model, explain=False))
    except FakefaceError as error:
        raise gr.Error(str(error), print_exception=False) from error


def show(analysis: Analysis, image: RGB, started: float) -> str:
    """An analysis and its picture as HTML."""
    card = checkpoints.read_card(checkpoints.checkpoints_root() / analysis.models[0])

    def crop(region: Box) -> str:
        x, y, w, h = region.as_list()
        return data_url(image[y : y + h, x : x + w], FACE_SIDE)

    return render(
        state=analysis.status.value,
        analysis=analysis,
        card=card,
        model=title(card),
        picture=data_url(image, PICTURE_SIDE),
        crop=crop,
        tinted=tinted,
        note=report.NOTE,
        seconds=time.perf_counter() - started,
    )


def tinted(heatmap: Heatmap) -> str:
    """A heatmap as a picture to lay over its face, clear where it is cold."""
    values = np.rint(np.clip(heatmap.values, 0, 1) * 255).astype(np.uint8)
    colours = cv2.applyColorMap(values, cv2.COLORMAP_INFERNO)[..., ::-1]
    return data_url(np.dstack([colours, values]), FACE_SIDE)


def data_url(pixels: RGB, side: int) -> str:
    """A picture, with or without alpha, inside the page itself: no file to store and to fetch."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side), reducing_gap=2.0)
    kind = "webp" if picture.mode == "RGBA" else "jpeg"
    out = BytesIO()
    picture.save(out, kind, quality=88)
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}"


def render(**values: Any) -> str:
    """The HTML of a result; see assets/result.html."""
    return TEMPLATES.get_template("result.html").render(**values)


def title(card: checkpoints.Card) -> str:
    """A model's title and how it did on pictures it had never seen."""
    auc = card.metrics.get("sets", {}).get("test", {}).get("auc", {}).get("value")
    return card.title if auc is None else f"{card.title} · test AUC {auc:.3f}"


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


def part(name: str, **options: Any) -> gr.HTML:
    """A part of the page: assets/NAME.html as its template, with the script of the same name."""
    script = ASSETS / f"{name}.js"
    return gr.HTML(
        elem_id=name,
        html_template=(ASSETS / f"{name}.html").read_text("utf-8"),
        js_on_load=script.read_text("utf-8") if script.exists() else None,
        apply_default_css=False,
        **options,
    )


def build() -> gr.Blocks:
    """The layout."""
    cards, default, first = (), None, render(state="empty")
    try:
        cards, default = checkpoints.installed(), checkpoints.default()
    except FakefaceError as error:
        first = render(state="error", message=str(error))
    paths = example_paths()
    gr.set_static_paths(list(paths.values()))
    examples = [(name, path.name, f"gradio_api/file={path}") for name, path in paths.items()]
    models = [(title(card), card.name) for card in cards]
    with gr.Blocks(title="fakeface", analytics_enabled=False, delete_cache=(60, 120)) as page:
        part("header")
        with gr.Row(elem_id="check"):
            with gr.Column(scale=4, min_width=300):
                drop = part("drop", examples=examples, max_bytes=images.MAX_BYTES)
                model = gr.Radio(
                    models, value=default, label="Model", elem_id="model", visible=bool(models)
                )
            with gr.Column(scale=7, min_width=300):
                answer = part("answer", value=first)
        part("footer")
        limits = {"concurrency_limit": 2, "concurrency_id": "models"}
        drop.change(
            check_page, [drop, model], answer, api_visibility="private",
            show_progress="minimal", **limits,
        )  # fmt: skip
        # The server deleted the file and the browser kept it: a new model needs it sent again.
        again = "() => document.querySelector('#drop form').dispatchEvent(new Event('again'))"
        model.input(None, js=again)
        gr.api(check, **limits)
    return page


def warm_up() -> None:
    """Judge one picture ahead of the first visitor, since that is what loads everything."""
    try:
        judge(example_paths()["Grace Hopper"], "", "", explain=True)
    except (FakefaceError, KeyError) as error:
        log.warning("%s", error)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    threading.Thread(target=warm_up, daemon=True).start()
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    build().queue(max_size=64).launch(
        theme=gr.themes.Base(**fonts),
        css_paths=ASSETS / "page.css",
        max_file_size=images.MAX_BYTES,
        footer_links=["api"],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
    )
