"""What a release aims at, and how far it got: computed from the stored results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fakeface import __version__
from fakeface.types import Verdict
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
    """Every goal of the release; "the best" is the model that users get by default."""
    if not all_of.cards:
        return
    best = all_of.cards[0]
    metrics = all_of.metrics[best.name]

    aucs = {card.title: _auc(all_of.metrics[card.name], "test") for card in all_of.cards}
    lowest = min(aucs, key=lambda title: aucs[title] or 0.0)
    yield Target("AUC on test", 0.98, _auc(metrics, "test"), best.title)
    yield Target("AUC on test, every model", 0.95, aucs[lowest], lowest)
    past = {v: r for v, r in all_of.releases.items() if v != __version__}
    if past:
        version = max(past, key=lambda v: tuple(map(int, v.split("."))))
        yield Target(
            f"AUC on test, as of release {version}", past[version]["test_auc"]["value"],
            _auc(metrics, "test"), best.title,
        )  # fmt: skip
    yield Target("AUC on unseen sources", 0.99, _auc(metrics, "test_unseen"), best.title)
    for step, target in (("first step", 0.85), ("second step", 0.90)):
        yield Target(f"AUC on DFDC swaps, {step}", target, _auc(metrics, "swaps"), best.title)
    yield Target("AUC on LoRA headshots", 0.93, _auc(metrics, "wild_generated"), best.title)
    yield Target("AUC on inswapper", 0.85, _auc(metrics, "wild_swaps"), best.title)
    pointing = all_of.pointing.get(best.name, {})
    auc = _value(pointing, "auc")
    yield Target("AUC on self-blended faces", 0.90, auc and auc["value"], best.title)

    flagged = {
        source: found
        for name in ("test", "test_unseen", "wild_generated")
        for source, found in (_value(metrics, "sets", name, "real_by_source") or {}).items()
    }
    worst = max(flagged, key=lambda s: flagged[s]["value"], default="")
    yield Target(
        "photographs of any one source called AI-generated", 0.10,
        flagged[worst]["value"] if worst else None,
        f"{best.title}; {worst}, n = {flagged[worst]['n']}" if worst else best.title,
        at_least=False, percent=True,
    )  # fmt: skip
    wild = _value(metrics, "sets", "wild_generated", "verdicts_on_real")
    yield Target(
        "photographs in the wild called AI-generated", 0.05, wild and wild[Verdict.FAKE],
        best.title, at_least=False, percent=True,
    )  # fmt: skip
    ece = _value(metrics, "sets", "test")
    yield Target(
        "calibration error (ECE) on test", 0.03, ece and ece["ece"], best.title, at_least=False
    )

    tiers = metrics.get("reencoded", {})
    hardest = tiers.get(HARDEST)
    lost = hardest and hardest["auc_before"]["value"] - hardest["auc"]["value"]
    for step, target in (("first step", 0.04), ("second step", 0.03)):
        yield Target(
            f"AUC lost under the hardest re-encoding, {step}", target, lost,
            f"{best.title}; {HARDEST}", at_least=False,
        )  # fmt: skip
    flips = {name: r.get("flips_settled", r["flips"]) for name, r in tiers.items()}
    most = max(flips, key=lambda name: flips[name], default="")
    yield Target(
        "verdicts that flip under re-encoding", 0.05, flips.get(most),
        f"{best.title}; {most}" if most else best.title, at_least=False, percent=True,
    )  # fmt: skip

    trained = [f for f in all_of.left_out.values() if "recipe" in f.get("training", {})]
    found = max(trained, key=lambda f: f["summary"].get("auc_mean", 0.0), default={})
    summary = found.get("summary", {})
    who = found.get("title", "")
    low, high = summary.get("auc_worst", {}), summary.get("false_positive_rate_worst", {})
    yield Target("AUC on a generator left out, mean", 0.90, summary.get("auc_mean"), who)
    yield Target(
        "AUC on a generator left out, worst", 0.80, low.get("value"),
        f"{who}; {low['family']}" if low else who,
    )  # fmt: skip
    yield Target(
        "photographs of a family left out flagged, worst", 0.10, high.get("value"),
        f"{who}; {high['family']}" if high else who, at_least=False, percent=True,
    )  # fmt: skip
    hits = _value(pointing, "pointing")
    yield Target(
        "heatmap points into the blended region", 0.80, hits and hits["model"], best.title,
        percent=True,
    )  # fmt: skip
