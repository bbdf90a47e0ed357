"""Numbers as the cells of Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def make_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def show_share(value: float | None) -> str:
    """A share in per cent."""
    return "" if value is None else f"{100 * value:.1f} %"


def show_auc(auc: Mapping[str, float] | None) -> str:
    """A measured area under the ROC curve with its 95 % interval."""
    return f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})" if auc else ""


def show_rate(found: Mapping[str, float] | None) -> str:
    """A share with its 95 % interval and of how many."""
    if not found:
        return ""
    low, high = 100 * found["low"], 100 * found["high"]
    return f"{show_share(found['value'])} ({low:.0f} to {high:.0f})"


def show_auc_of(results: Mapping[str, Any], name: str) -> str:
    """One set's AUC, or an empty cell."""
    return show_auc(results.get("sets", {}).get(name, {}).get("auc"))
