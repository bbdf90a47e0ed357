"""Which records an epoch consists of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from train.datasets.records import Record


def draw(
    records: Sequence[Record],
    count: int,
    swap_share: float,
    seed: tuple[int, ...],
    blend_share: float = 0.0,
    by_family: bool = False,
) -> list[Record]:
    """An epoch: half photographs, half fakes, each source in proportion to the root of its size.

    The root keeps a large source from outnumbering the small ones, and the few pictures of a small
    source from being repeated too often.

    Args:
        count: how many, drawn with replacement.
        swap_share: the share of face swaps among the fakes; they are another, harder task.
        seed: decides everything.
        blend_share: the share of the fakes that will be made of photographs, which are drawn the
            more often; see `blend_chance`.
        by_family: give every family of a class the same chance instead, and its pictures too.
    """
    parts = [(r.label, r.family if by_family else r.source) for r in records]
    sizes = Counter(parts)
    weights = np.array([sizes[part] ** (-1.0 if by_family else -0.5) for part in parts])
    label = np.array([record.label for record in records])
    swap = np.array([record.kind == "swap" for record in records])
    other = 1 - swap_share - blend_share
    shares = ((label == 0, 1 + blend_share), (swap, swap_share), ((label == 1) & ~swap, other))
    for members, share in shares:
        if members.any():
            weights[members] *= share / weights[members].sum()
    rng = np.random.default_rng(seed)
    picked = rng.choice(len(records), size=count, p=weights / weights.sum())
    return [records[i] for i in picked]


def blend_chance(blend_share: float) -> float:
    """With what chance a drawn photograph becomes a self-blended fake, for half to be fakes."""
    return blend_share / (1 + blend_share)


def limit(records: list[Record], most: int | None, seed: int) -> list[Record]:
    """At most so many of the records, drawn by the seed; all of them for None."""
    if most is None or most >= len(records):
        return records
    chosen = np.random.default_rng(seed).choice(len(records), most, replace=False)
    return [records[i] for i in sorted(chosen)]
