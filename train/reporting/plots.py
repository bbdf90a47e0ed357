"""Results as pictures: small ones for the documents, and a page of mistakes, never committed."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from scipy.special import expit
from sklearn.metrics import roc_curve

from fakeface.files import write_atomically
from fakeface.images import decoder as images
from fakeface.models.preprocess import face_region
from fakeface.types import RGB
from train.datasets.faces import Faces
from train.datasets.sets import TITLES
from train.evaluation.metrics import reliability, risk_coverage
from train.evaluation.scored import Scored

NAMES = {name: title.split(":")[0] for name, title in TITLES.items()}
REAL, FAKE = "#2a6f97", "#c8553d"
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "legend.fontsize": 7,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
}


def draw(scored: Mapping[str, Scored], folder: Path, title: str) -> list[str]:
    """All four plots of a model into a folder.

    Args:
        scored: the sets by name.
        title: of the model.

    Returns:
        The names of the files.
    """
    makers = {"roc": roc, "reliability": reliability_diagram, "scores": histograms, "risk": risk}
    for name, make in makers.items():
        with mpl.rc_context(STYLE):
            save(make(scored, title), folder / f"{name}.png")
    return [f"{name}.png" for name in makers]


def save(figure: Figure, path: Path) -> None:
    """As a PNG of 64 colours, which is a third as large; they stay in the history for ever."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    picture = Image.fromarray(pixels).convert("RGB")
    file = BytesIO()
    picture.quantize(64, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    write_atomically(path, file.getvalue())


def roc(scored: Mapping[str, Scored], title: str) -> Figure:
    """The ROC of each set, its false positive rate on a logarithmic axis, since it must be low."""
    figure = Figure((4.6, 3.6), dpi=130, layout="constrained")
    axes = figure.subplots()
    for name, found in scored.items():
        false, true, _ = roc_curve(found.labels, found.p_fake, drop_intermediate=False)
        axes.step(np.maximum(false, 1e-3), true, where="post", label=NAMES[name], lw=1.3)
    line = np.geomspace(1e-3, 1, 100)
    axes.plot(line, line, color="#999999", lw=0.8, ls=":", label="chance")
    axes.set(
        xscale="log", xlim=(1e-3, 1), ylim=(0, 1.01), title=f"{title}: ROC",
        xlabel="false positive rate (photographs called AI-generated)",
        ylabel="true positive rate (fakes called so)",
    )  # fmt: skip
    axes.set_xticks([0.001, 0.01, 0.05, 0.1, 1], ["0.1 %", "1 %", "5 %", "10 %", "100 %"])
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.02))
    return figure


def reliability_diagram(scored: Mapping[str, Scored], title: str) -> Figure:
    """p(fake) against the share of fakes, before and after calibration, on val and test."""
    names = [name for name in ("val", "test") if name in scored] or list(scored)[:1]
    figure = Figure((2.9 * len(names), 3.2), dpi=130, layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names), sharey=True)), names):
        found = scored[name]
        axes.plot([0, 1], [0, 1], color="#999999", lw=0.8, ls=":")
        for label, p_fake, colour, marker in (
            ("before calibration", expit(found.logits), "#aaaaaa", "o"),
            ("as shipped", found.p_fake, FAKE, "s"),
        ):
            promised, true, count = reliability(found.labels, p_fake, 10)
            axes.plot(promised, true, color=colour, lw=1, label=label, zorder=2)
            sizes = 6 + 60 * count / count.max()
            axes.scatter(promised, true, s=sizes, color=colour, marker=marker, lw=0, zorder=3)
        axes.set(
            xlim=(0, 1), ylim=(0, 1), title=NAMES[name],
            xlabel="p(fake); marks grow with pictures",
        )  # fmt: skip
        axes.legend(loc="upper left")
    figure.axes[0].set_ylabel("share that are fakes")
    figure.suptitle(f"{title}: reliability", fontsize=9)
    return figure


def histograms(scored: Mapping[str, Scored], title: str) -> Figure:
    """p(fake) of photographs and fakes in each set, and the thresholds of the verdicts."""
    rows = -(-len(scored) // 2)
    columns = min(2, len(scored))
    figure = Figure((3.2 * columns, 1.5 * rows + 0.3), dpi=120, layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, columns, sharex=True)).flatten()
    bins = np.linspace(0, 1, 26)
    for axes, (name, found) in zip(panels, scored.items()):
        for label, kind, colour in ((0, "photographs", REAL), (1, "fakes", FAKE)):
            own = found.p_fake[found.labels == label]
            axes.hist(
                own, bins, weights=np.full(len(own), 1 / len(own)), color=colour, alpha=0.6,
                label=f"{kind} ({len(own)})",
            )  # fmt: skip
        for limit in (found.calibration.real_below, found.calibration.fake_above):
            axes.axvline(limit, color="#333333", lw=0.8, ls="--")
        axes.set(title=NAMES[name], xlim=(0, 1), ylim=(0, 1), yticks=[0, 0.5, 1])
        axes.legend(loc="upper center")
    for axes in panels[len(scored) :]:
        axes.set_axis_off()
    for axes in panels[max(0, len(scored) - columns) : len(scored)]:
        axes.set_xlabel("p(fake); between the dashes: unsure")
        axes.xaxis.set_tick_params(labelbottom=True)
    figure.suptitle(f"{title}: share of pictures by score", fontsize=9)
    return figure


def risk(scored: Mapping[str, Scored], title: str) -> Figure:
    """How many answers are wrong if only the surest are given; the dots are the shipped rule."""
    figure = Figure((4.6, 3.4), dpi=130, layout="constrained")
    axes = figure.subplots()
    for name, found in scored.items():
        coverage, wrong = risk_coverage(found.labels, found.p_fake)
        (line,) = axes.plot(coverage, wrong, lw=1.2, label=NAMES[name])
        said = found.verdicts()
        answered = said != "unsure"
        if answered.any():
            share = float(((said == "AI-generated") != (found.labels == 1))[answered].mean())
            axes.plot(answered.mean(), share, "o", ms=5, color=line.get_color())
    axes.set(
        xlim=(0, 1), ylim=(0, None), xlabel="share of pictures answered (the rest is unsure)",
        ylabel="share of answers that are wrong",
        title=f"{title}: risk against coverage; dots: the shipped thresholds",
    )  # fmt: skip
    axes.legend(loc="upper left")
    return figure


def draw_mistakes(found: Scored, faces: Faces, path: Path, each: int = 20) -> None:
    """A page of the worst mistakes of either kind; it shows people, so it is never committed."""
    labels, p_fake = found.labels, found.p_fake
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure((12, 6.4), dpi=100, layout="constrained")
        panels = figure.subplots(2 * (each // 10), 10).reshape(2, -1)
        for row, label, sign in ((0, 0, -1), (1, 1, 1)):
            own = np.flatnonzero(labels == label)
            worst = own[np.argsort(sign * p_fake[own], kind="stable")][:each]
            for axes in panels[row]:
                axes.set_axis_off()
            for axes, i in zip(panels[row], worst):
                record = found.records[i]
                axes.imshow(_crop(images.decode(record.read()), faces, record.sha256))
                kind = ("photograph", "fake")[label]
                axes.set_title(f"{kind} {p_fake[i]:.3f}\n{record.source}", fontsize=6)
        file = BytesIO()
        figure.savefig(file)
        write_atomically(path, file.getvalue())


def _crop(image: RGB, faces: Faces, sha256: str) -> RGB:
    region = face_region(faces[sha256], image.shape[1], image.shape[0], 0.3)
    crop = Image.fromarray(image[region.y : region.y + region.h, region.x : region.x + region.w])
    return np.asarray(crop.resize((112, 112), Image.Resampling.BICUBIC))
