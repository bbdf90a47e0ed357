"""What a release aims at, and how far it got: computed from the stored results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fakeface import __version__
from fakeface.types import Verdict
from train.evaluation.calibration import FAMILY_SIZE
from train.evaluation.reencoding import HARDEST
from train.reporting.stored import Stored


@dataclass(frozen=True, slots=True)
class Target:
    """One number that was aimed at.

    Attributes:
        title: what it is.
        target: the number.
        value: what came of it; None where it was not measured.
        note: of which model, source or family.
        at_least: the target is a lower limit, else an upper one.
        percent: it is a share, written in per cent.
    """

    title: str
    target: float
    value: float | None
    note: str = ""
    at_least: bool = True
    percent: bool = False

    @property
    def missing(self) -> float:
        """By how much it is missed; 0 where it is met."""
        if self.value is None:
            return 0.0
        return max(0.0, (self.target - self.value) * (1 if self.at_least else -1))

    def gap(self) -> str:
        """For the table."""
        if self.value is None:
            return ""
        return f"**{self.spell(self.missing)}**" if self.missing else "met"

    def spell(self, value: float) -> str:
        """A number in this target's own way of writing."""
        return f"{100 * value:.1f} %" if self.percent else f"{value:.3f}"


def _value(results: Mapping[str, Any], *path: str) -> Any:
    for key in path:
        results = results.get(key) or {}
    return results or None


def _auc(results: Mapping[str, Any], name: str) -> float | None:
    found = _value(results, "sets", name, "auc")
    return found["value"] if found else None


def assess(all_of: Stored) -> Iterator[Target]:
    """Every goal on the fourth edition of the pool; most are of the model that users get."""
    if not all_of.cards:
        return
    best = all_of.cards[0]
    metrics = all_of.metrics[best.name]
    pointing = all_of.pointing.get(best.name, {})
    yield from _assess_separation(all_of, best.title, metrics)
    auc = _value(pointing, "auc")
    yield Target("AUC on self-blended faces", 0.92, auc and auc["value"], best.title)
    yield from _assess_verdicts(best.title, metrics)
    yield from _assess_copies(best.title, metrics.get("reencoded", {}))
    yield from _assess_left_out(all_of)
    hits = _value(pointing, "pointing")
    yield Target(
        "heatmap points into the blended region", 0.80, hits and hits["model"], best.title,
        percent=True,
    )  # fmt: skip


def _assess_separation(all_of: Stored, title: str, metrics: Mapping[str, Any]) -> Iterator[Target]:
    yield Target("AUC on test", 0.985, _auc(metrics, "test"), title)
    aucs = {card.title: _auc(all_of.metrics[card.name], "test") for card in all_of.cards}
    lowest = min(aucs, key=lambda name: aucs[name] or 0.0)
    yield Target("AUC on test, every model", 0.955, aucs[lowest], lowest)
    past = {v: r for v, r in all_of.releases.items() if v != __version__}
    if past:
        version = max(past, key=lambda v: tuple(map(int, v.split("."))))
        yield Target(
            f"AUC on test, as of release {version}", past[version]["test_auc"]["value"],
            _auc(metrics, "test"), title,
        )  # fmt: skip
    for what, name, target in (
        ("DFDC swaps", "swaps", 0.93),
        ("unseen sources", "test_unseen", 0.99),
        ("LoRA headshots", "wild_generated", 0.96),
        ("Stable Diffusion 3", "sd3", 0.95),
        ("inswapper", "wild_swaps", 0.88),
    ):
        yield Target(f"AUC on {what}", target, _auc(metrics, name), title)


def _assess_verdicts(title: str, metrics: Mapping[str, Any]) -> Iterator[Target]:
    """How the verdicts fall at the model's own thresholds."""
    families = {
        family: found
        for family, found in (_value(metrics, "sets", "test", "real_by_family") or {}).items()
        if found["n"] >= FAMILY_SIZE
    }
    worst = max(families, key=lambda family: families[family]["value"], default="")
    yield Target(
        f"photographs of a family of {FAMILY_SIZE} or more called AI-generated", 0.05,
        families[worst]["value"] if worst else None,
        f"{title}; {worst}, n = {families[worst]['n']}" if worst else title,
        at_least=False, percent=True,
    )  # fmt: skip
    wild = _value(metrics, "sets", "wild_generated", "verdicts_on_real")
    yield Target(
        "photographs in the wild called AI-generated", 0.04, wild and wild[Verdict.FAKE],
        title, at_least=False, percent=True,
    )  # fmt: skip
    found = _value(metrics, "sets", "test", "verdicts_on_fake")
    yield Target(
        "fakes of test called AI-generated", 0.85, found and found[Verdict.FAKE], title,
        percent=True,
    )  # fmt: skip
    ece = _value(metrics, "sets", "test")
    yield Target("calibration error (ECE) on test", 0.03, ece and ece["ece"], title, at_least=False)


def _assess_copies(title: str, tiers: Mapping[str, Any]) -> Iterator[Target]:
    """What re-encoding takes."""
    hardest = tiers.get(HARDEST)
    lost = hardest and hardest["auc_before"]["value"] - hardest["auc"]["value"]
    yield Target(
        "AUC lost under the hardest re-encoding", 0.01, lost, f"{title}; {HARDEST}",
        at_least=False,
    )  # fmt: skip
    flips = {name: r.get("flips_settled", r["flips"]) for name, r in tiers.items()}
    most = max(flips, key=lambda name: flips[name], default="")
    yield Target(
        "verdicts that flip under re-encoding", 0.01, flips.get(most),
        f"{title}; {most}" if most else title, at_least=False, percent=True,
    )  # fmt: skip


def _assess_left_out(all_of: Stored) -> Iterator[Target]:
    """The best recipe that was trained without one group at a time."""
    trained = [f for f in all_of.left_out.values() if "recipe" in f.get("training", {})]
    found = max(trained, key=lambda f: f["summary"].get("auc_mean", 0.0), default={})
    summary = found.get("summary", {})
    who = found.get("title", "")
    low, high = summary.get("auc_worst", {}), summary.get("false_positive_rate_worst", {})
    yield Target("AUC on a generator left out, mean", 0.88, summary.get("auc_mean"), who)
    yield Target(
        "AUC on a generator left out, worst", 0.75, low.get("value"),
        f"{who}; {low['family']}" if low else who,
    )  # fmt: skip
    yield Target(
        "photographs of a family left out flagged, worst", 0.15, high.get("value"),
        f"{who}; {high['family']}" if high else who, at_least=False, percent=True,
    )  # fmt: skip
