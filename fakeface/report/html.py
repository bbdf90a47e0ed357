"""An analysis to take along: one HTML file that needs nothing else, and one JSON.

The page shows the same parts, from the same templates. Everything in them is escaped, for names
and metadata are a stranger's; the HTML runs no script, and tells browsers to load nothing for it.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import jinja2
import numpy as np
import numpy.typing as npt
from PIL import Image

from fakeface import __version__
from fakeface.report import report
from fakeface.types import RGB, Analysis, Box, Heatmap, Verdict

if TYPE_CHECKING:
    from fakeface.models.checkpoints import Card

PICTURE_SIDE: Final = 1280  # pixels, at most, of the whole picture in a page
FACE_SIDE: Final = 320  # and of a face
_FOLDER = Path(__file__).with_name("templates")

# A verdict is never told by its colour alone: a mark and words go with it.
MARKS: Final = {Verdict.FAKE: "!", Verdict.REAL: "✓", Verdict.UNSURE: "?"}
WORDS: Final = {
    Verdict.FAKE: "AI-generated",
    Verdict.REAL: "no sign of AI found",
    Verdict.UNSURE: "unsure",
}
STYLES: Final = {Verdict.FAKE: "fake", Verdict.REAL: "real", Verdict.UNSURE: "unsure"}


def to_html(analysis: Analysis, image: RGB, cards: Mapping[str, Card]) -> str:
    """A report as one self-contained HTML page.

    Args:
        analysis: what was found; heatmaps are shown where it has them.
        image: the picture that was analysed, upright RGB uint8 (H, W, 3).
        cards: of the analysis's models, by name; one that is missing is told by its name alone.
    """
    return (
        environment()
        .get_template("report.html")
        .render(
            analysis=analysis,
            cards=cards,
            judges={judge.model: judge for judge in analysis.judges},
            version=__version__,
            **pictures(image),
        )
    )


def to_record(analysis: Analysis) -> dict[str, Any]:
    """A report as JSON: `report.to_dict`, and each heatmap as a greyscale PNG in a data URL."""
    record = report.to_dict(analysis)
    for face, found in zip(record["faces"], analysis.faces):
        for heatmap in found.heatmaps:
            grey = np.rint(np.clip(heatmap.values, 0, 1) * 255).astype(np.uint8)
            face["models"][heatmap.model]["heatmap"]["png"] = data_url(grey, FACE_SIDE, kind="png")
    return record


def environment(*folders: Path) -> jinja2.Environment:
    """Jinja with the shared templates and words, and those of other folders."""
    out = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, _FOLDER]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    out.filters |= {"percent": report.percent}
    out.globals |= {"marks": MARKS, "words": WORDS, "styles": STYLES, "note": report.NOTE}
    return out


def pictures(image: RGB) -> dict[str, Any]:
    """What the templates draw with: the picture, faces out of it, and heatmaps, as data URLs."""

    @functools.cache
    def crop(region: Box) -> str:
        x, y, w, h = region.as_list()
        return data_url(image[y : y + h, x : x + w], FACE_SIDE)

    return {
        "picture": data_url(image, PICTURE_SIDE),
        "crop": crop,
        "tinted": functools.cache(tinted),
    }


def tinted(heatmap: Heatmap) -> str:
    """A heatmap as a picture to lay over its face, clear where it is cold."""
    values = np.rint(np.clip(heatmap.values, 0, 1) * 255).astype(np.uint8)
    colours = cv2.applyColorMap(values, cv2.COLORMAP_INFERNO)[..., ::-1]
    return data_url(np.dstack([colours, values]), FACE_SIDE)


def data_url(pixels: npt.NDArray[np.uint8], side: int, *, kind: str = "") -> str:
    """A picture, with or without alpha, inside the page itself: no file to store and to fetch."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side), reducing_gap=2.0)
    kind = kind or ("webp" if picture.mode == "RGBA" else "jpeg")
    out = BytesIO()
    picture.save(out, kind, quality=88)
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}"
