"""Which records an epoch consists of."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from train.datasets.records import Record

# Families of fakes -> the family of the photographs that their generators learnt from.
_LEARNT_FROM = {"stylegan": "ffhq", "stylegan2": "ffhq", "older_gan": "celebrity"}


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


def pair(drawn: Sequence[Record], records: Sequence[Record], seed: tuple[int, ...]) -> list[Record]:
    """An epoch in pairs: each fake, and after it a photograph that is as near to it as there is.

    The photograph is of the same group (the clip of a swap), else of the same source, else of the
    family that the generator learnt from, and else as it was drawn. What tells the two apart is
    then less often the source. Pairs begin at even places, so that a batch of an even size holds
    both parts.

    Args:
        drawn: see `draw`; its fakes stay, and so does the number of photographs.
        records: where the photographs are taken from.
        seed: decides everything.
    """
    rng = np.random.default_rng((*seed, 0, 1))  # not the numbers of `draw`, nor of a face
    near: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.label == 0:
            for what in ("group", "source", "family"):
                near[what, getattr(record, what)].append(record)

    def partner(fake: Record, other: Record) -> Record:
        family = _LEARNT_FROM.get(fake.family, "")
        keys = ("group", fake.group), ("source", fake.source), ("family", family)
        found = next((near[key] for key in keys if key in near), [other])
        return found[int(rng.integers(len(found)))]

    fakes = [record for record in drawn if record.label]
    photographs = [record for record in drawn if not record.label]
    both = min(len(fakes), len(photographs))
    pairs = [[fake, partner(fake, other)] for fake, other in zip(fakes, photographs)]
    rest = fakes[both:] + photographs[both:]
    whole = len(rest) // 2 * 2
    pairs += [rest[i : i + 2] for i in range(0, whole, 2)]
    order = rng.permutation(len(pairs))
    return [record for i in order for record in pairs[i]] + rest[whole:]


def blend_chance(blend_share: float) -> float:
    """With what chance a drawn photograph becomes a self-blended fake, for half to be fakes."""
    return blend_share / (1 + blend_share)


def limit(records: list[Record], most: int | None, seed: int) -> list[Record]:
    """At most so many of the records, drawn by the seed; all of them for None."""
    if most is None or most >= len(records):
        return records
    chosen = np.random.default_rng(seed).choice(len(records), most, replace=False)
    return [records[i] for i in sorted(chosen)]
