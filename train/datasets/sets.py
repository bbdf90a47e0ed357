"""Which pictures a result is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from fakeface.models import evaluation_sets
from train.datasets.records import Record, SourceError, drop_swaps, only
from train.datasets.splits import calibration, choice

TITLES = {name: str(title) for name, title in evaluation_sets.TITLES.items()}
SETS = tuple(TITLES)
SD3 = ("faker_sd3",)
PARTS = {"choice": choice, "calibration": calibration}
# The fakes of test_wild, set by set; every fake is in one of them.
WILD: dict[str, Callable[[Record], bool]] = {
    "wild_generated": lambda r: r.kind != "swap" and r.source not in SD3,
    "sd3": lambda r: r.source in SD3,
    "wild_swaps": lambda r: r.kind == "swap",
}
PAIR = ("ffhq_140k", "stylegan1_140k")  # the sources of 140k Real and Fake Faces


def choose(records: Sequence[Record], name: str) -> list[Record]:
    """The records of one of `SETS`.

    val, test and test_unseen hold all photographs of their split against generated and edited
    faces, or against swaps where there is nothing else; choice and calibration are the two parts
    of val. pair_140k is the test split of the two sources that '140k Real and Fake Faces' consists
    of; swaps the test split's swaps against photographs of the same source; wilddeepfake the whole
    test split of that data set. The last three hold the photographs of test_wild against its
    swaps (wild_swaps), Stable Diffusion 3 (sd3) or all other generated faces (wild_generated).
    """
    if name == "pair_140k":
        return only(choose(records, "test"), PAIR)
    if name == "wilddeepfake":
        return [r for r in records if r.split == "test" and r.source == "wilddeepfake"]
    if name == "swaps":
        sources = {r.source for r in records if r.split == "test" and r.kind == "swap"}
        return [r for r in records if r.split == "test" and r.source in sources]
    if name in WILD:
        wild = [r for r in records if r.split == "test_wild"]
        return [r for r in wild if r.label == 0 or WILD[name](r)]
    if name in PARTS:
        return drop_swaps(PARTS[name](records))
    return drop_swaps([r for r in records if r.split == name])


def check_classes(records: Iterable[Record], name: str) -> None:
    """Refuse a set that lacks photographs or fakes.

    Raises:
        SourceError: says which.
    """
    labels = {record.label for record in records}
    for label, kind in ((0, "photographs"), (1, "fakes")):
        if label not in labels:
            raise SourceError(f"The set {name} has no {kind} with a face; leave it out of --sets.")
