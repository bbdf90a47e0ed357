"""Which pictures a result is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fakeface.models import evaluation_sets
from train.datasets.records import Record, SourceError, only, without_swaps

TITLES = {name: str(title) for name, title in evaluation_sets.TITLES.items()}
SETS = tuple(TITLES)
PAIR = ("ffhq_140k", "stylegan1_140k")  # the sources of 140k Real and Fake Faces


def choose(records: Sequence[Record], name: str) -> list[Record]:
    """The records of one of `SETS`.

    val and test hold all photographs of their split against generated and edited faces, or against
    swaps where there is nothing else; pair_140k the test split of the two sources that '140k Real
    and Fake Faces' consists of; swaps the test split's swaps against photographs of the same
    source; wilddeepfake the whole test split of that data set; wild_* the fakes of test_wild of one
    kind against its photographs.
    """
    if name == "pair_140k":
        return only(choose(records, "test"), PAIR)
    if name == "wilddeepfake":
        return [r for r in records if r.split == "test" and r.source == "wilddeepfake"]
    if name == "swaps":
        sources = {r.source for r in records if r.split == "test" and r.kind == "swap"}
        return [r for r in records if r.split == "test" and r.source in sources]
    if name.startswith("wild"):
        swaps = name == "wild_swaps"
        return [
            r
            for r in records
            if r.split == "test_wild" and (r.label == 0 or (r.kind == "swap") == swaps)
        ]
    return without_swaps([r for r in records if r.split == name])


def check_classes(records: Iterable[Record], name: str) -> None:
    """Refuse a set that lacks photographs or fakes.

    Raises:
        SourceError: says which.
    """
    labels = {record.label for record in records}
    for label, kind in ((0, "photographs"), (1, "fakes")):
        if label not in labels:
            raise SourceError(f"The set {name} has no {kind} with a face; leave it out of --sets.")
