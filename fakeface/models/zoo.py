"""What was measured of each installed model, for people.

Everything is read from a model's folder, as it was stored there; nothing is measured anew, and no
model is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fakeface.report import report

if TYPE_CHECKING:
    from fakeface.models.checkpoints import Card

# The sets of pictures, in the order in which they are listed; a short title ends at the colon.
TITLES: Final[Mapping[str, str]] = {
    "val": "validation: epochs, calibration and thresholds were chosen here",
    "calibration": "calibration: the part of validation for calibration and thresholds alone",
    "test": "test: generated and edited faces",
    "pair_140k": "140k pair: FFHQ against StyleGAN",
    "swaps": "DFDC: face swaps against the clips they were made from",
    "wilddeepfake": "WildDeepfake: its whole test split",
    "test_unseen": "unseen sources: a StyleGAN2 site against stock photographs",
    "wild_generated": "wild: LoRA headshots against strangers' photographs",
    "sd3": "Stable Diffusion 3: against strangers' photographs",
    "wild_swaps": "wild swaps: inswapper against strangers' photographs",
}

FITTED: Final = ("val", "calibration")  # sets on which something of a model was chosen
LEAST_AUC: Final = 0.9  # on test; below it, a model misleads more than a second opinion helps


@dataclass(frozen=True, slots=True)
class Source:
    """How often one source's faces, all photographs or all fakes, were called AI-generated.

    Attributes:
        source: its name.
        set: the short title of the set of pictures.
        kind: "photographs" or "fakes".
        n: faces.
        value: the share of them that was called AI-generated, in [0, 1].
    """

    source: str
    set: str
    kind: str
    n: int
    value: float


@dataclass(frozen=True, slots=True)
class Entry:
    """One model on the shelf.

    Attributes:
        card: its card.
        facts: see `report.describe`.
        plots: see `plots`.
        sources: of every set but `FITTED`.
        missed: the sources of fakes of which it catches the smallest part, under one half.
        flagged: the sources of photographs of which it calls the largest part AI-generated.
        dial: see `dial`.
    """

    card: Card
    facts: Mapping[str, Any]
    plots: Mapping[str, Path]
    sources: tuple[Source, ...]
    missed: tuple[Source, ...]
    flagged: tuple[Source, ...]
    dial: Mapping[str, Any] | None


def entry(card: Card, folder: Path, *, least: int = 20, most: int = 5) -> Entry:
    """All that there is to tell of one model.

    Args:
        card: of the model.
        folder: where it lies.
        least: sources of fewer faces are not called a failure: chance decides there.
        most: how many failures of a kind.
    """
    every = sources(stored(card, folder))
    large = sorted((s for s in every if s.n >= least), key=lambda s: s.value)
    missed = [s for s in large if s.kind == "fakes" and s.value < 0.5]
    flagged = [s for s in reversed(large) if s.kind == "photographs" and s.value > 0]
    return Entry(
        card=card,
        facts=report.describe(card, folder),
        plots=plots(card, folder),
        sources=every,
        missed=tuple(missed[:most]),
        flagged=tuple(flagged[:most]),
        dial=dial(card),
    )


def title(card: Card) -> str:
    """A model's title and how it did on pictures it had never seen."""
    auc = card.auc("test")
    if auc is None:
        return card.title
    return f"{card.title} · test AUC {auc['value']:.3f}{', weak' if weak(card) else ''}"


def weak(card: Card) -> bool:
    """Whether a model judged too badly on test to be asked unless somebody chooses it.

    The interval's low end counts, where the card has one, so that luck with the pictures lifts no
    model over the line.
    """
    auc = card.auc("test")
    return auc is not None and auc.get("low", auc["value"]) < LEAST_AUC


def set_title(name: str, measured: Mapping[str, Any]) -> str:
    """What a set of pictures is called where a line begins.

    Args:
        name: of the set.
        measured: what was measured on it; it may bring a title of its own.
    """
    known = TITLES.get(name, "")
    own = measured.get("title") or known[:1].upper() + known[1:]
    return str(own or name.replace("_", " ").capitalize())


def stored(card: Card, folder: Path) -> dict[str, Any]:
    """All that was measured of a model: `metrics.json` beside its card, which holds the gist."""
    with suppress(OSError, ValueError):
        return {**card.metrics, **json.loads((folder / "metrics.json").read_text("utf-8"))}
    return dict(card.metrics)


def sources(metrics: Mapping[str, Any]) -> tuple[Source, ...]:
    """Results source by source, of every set but those on which something was chosen."""
    return tuple(
        Source(
            source=source.replace("_", " "),
            set=set_title(name, found).split(":")[0],
            kind=kind,
            n=counts["n"],
            value=counts["value"],
        )
        for name, found in metrics.get("sets", {}).items()
        if name not in FITTED
        for key, kind in (("real_by_source", "photographs"), ("fake_by_source", "fakes"))
        for source, counts in found.get(key, {}).items()
    )


def plots(card: Card, folder: Path) -> dict[str, Path]:
    """What the plots of a model show, and where they lie: within its folder, or they are left out.

    Pages serve these files, and a card may come from anywhere.
    """
    folder = folder.resolve()
    paths = ((folder / str(name)).resolve() for name in card.metrics.get("plots", ()))
    return {path.stem: path for path in paths if path.is_relative_to(folder) and path.is_file()}


def dial(card: Card) -> dict[str, Any] | None:
    """What each threshold costs on val, where that was measured.

    Returns:
        The stored curve, lists of one length: `p_fake`, the thresholds; `photographs_flagged` and
        `fakes_caught`, shares in [0, 1]. `shipped` is the index of the model's own threshold.
    """
    curve = card.metrics.get("sets", {}).get("val", {}).get("curve")
    if not curve:
        return None
    own = [abs(p - card.calibration.fake_above) for p in curve["p_fake"]]
    return {**curve, "shipped": own.index(min(own))}
