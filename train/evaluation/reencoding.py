"""What re-encoding does to a model's answers, and what the stability check makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from fakeface.stability import COPIES, Copy, reencode, scale, shrink_to, variants
from fakeface.types import RGB, Box
from train.datasets.sets import check_classes
from train.evaluation.measure import SEED
from train.evaluation.metrics import accuracy, auc_interval
from train.evaluation.scored import Scored, find_flips
from train.evaluation.scores import Scores, View

TIERS: Final[Mapping[str, Callable[[RGB], RGB]]] = {
    "longest side at most 768 px, JPEG 60": lambda image: reencode(shrink_to(image, 768), 60),
    "longest side at most 512 px, JPEG 40": lambda image: reencode(shrink_to(image, 512), 40),
    "half the size": lambda image: scale(image, 0.5),
    "twice the size": lambda image: scale(image, 2.0),
}
HARDEST: Final = "longest side at most 512 px, JPEG 40"


def tier_views() -> dict[str, View]:
    """`TIERS` as if the pictures had come so: their faces are found anew."""

    def view(change: Callable[[RGB], RGB]) -> View:
        return lambda image, _: (change(image), None)

    return {name: view(change) for name, change in TIERS.items()}


def copy_views(margin: float) -> dict[str, View]:
    """What the stability check makes of a picture; `margin` as of the model's preprocessing."""

    def view(copy: Copy) -> View:
        def make(image: RGB, box: Box) -> tuple[RGB, Box | None]:
            ((small, (moved,)),) = variants(image, [box], margin, [copy])
            return small, moved

        return make

    return {f"copy: {copy.name}": view(copy) for copy in COPIES}


def measure_reencoded(scored: Scored, scores: Scores) -> dict[str, Any]:
    """The same pictures after each of `TIERS`, against themselves before.

    flips compares verdicts on the picture by itself. flips_settled compares the verdict after the
    stability check with the verdict on the re-encoded picture by itself; as that can only become
    unsure by a check of its own, users see at most so many flips.
    """
    labels, before, settled = scored.labels, scored.verdicts(), scored.settle()
    groups = np.array(scored.groups)
    out: dict[str, Any] = {}
    for name in TIERS:
        kept, logits = scores.of(scored.records, name)
        after = Scored(
            [r for r, k in zip(scored.records, kept) if k], logits[kept], scored.calibration
        )
        check_classes(after.records, f"test after {name!r}")
        said = after.verdicts()
        out[name] = {
            "no_face": int((~kept).sum()),
            "auc": auc_interval(labels[kept], after.logits, groups[kept].tolist(), seed=SEED),
            "auc_before": auc_interval(
                labels[kept], scored.logits[kept], groups[kept].tolist(), seed=SEED
            ),
            "accuracy": accuracy(labels[kept], after.p_fake),
            "accuracy_before": accuracy(labels[kept], scored.p_fake[kept]),
            "flips": float(find_flips(before[kept], said).mean()),
        }
        if scored.copies:
            out[name]["flips_settled"] = float(find_flips(settled[kept], said).mean())
    return out
