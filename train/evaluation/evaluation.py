"""A model on sets of pictures: the faces found, the scores kept, the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fakeface.faces import Detector
from fakeface.models.calibrate import Calibration
from fakeface.models.engine import Model
from train.datasets.faces import Faces, face_cache, find_faces
from train.datasets.records import Record, fingerprint
from train.datasets.sets import check_classes, choose
from train.evaluation.calibration import calibrate
from train.evaluation.measure import SEED, measure
from train.evaluation.metrics import Array, thresholds_curve
from train.evaluation.reencoding import copy_views, measure_reencoded, tier_views
from train.evaluation.scored import Scored
from train.evaluation.scores import CLEAN, Scores, View, score, scores_path

# What goes into card.json of each set; the rest is in metrics.json.
GIST = (
    "n_real", "n_fake", "no_face", "auc", "accuracy", "balanced_accuracy", "tpr_at_fpr_1",
    "tpr_at_fpr_5", "ece", "ece_uncalibrated", "verdicts_on_real", "verdicts_on_fake",
    "false_positive_rate", "true_positive_rate", "real_by_family", "reliability", "curve",
)  # fmt: skip


class Evaluation:
    """A model, the pictures it is measured on, and its scores of them.

    `calibration` is the model's own; None fits it to the calibration part of val.
    """

    def __init__(
        self,
        model: Model,
        records: Sequence[Record],
        detector: Detector,
        calibration: Calibration | None,
    ) -> None:
        self.model, self.records, self.detector = model, records, detector
        self.scores = Scores(scores_path(model, detector.name))
        self.cache = face_cache(detector)
        self.views: dict[str, View] = {CLEAN: lambda image, box: (image, box)}
        self.copies = copy_views(model.preprocessing.margin)
        self.tiers = tier_views()
        if calibration is None:
            part, logits, _ = self._score("calibration", {})
            calibration = calibrate(part, logits)
        self.calibration = calibration

    def faces(self, records: Sequence[Record]) -> Faces:
        """The largest face of each."""
        return find_faces(records, self.detector, self.cache)

    def _score(
        self, name: str, views: Mapping[str, View]
    ) -> tuple[list[Record], Array, list[Record]]:
        chosen = choose(self.records, name)
        faces = self.faces(chosen)
        score(
            self.model, chosen, faces, {**self.views, **views}, self.detector, self.scores,
            boxes=self.cache.with_name(f"{self.cache.stem}-reencoded.json"),
        )  # fmt: skip
        found, logits = self.scores.of(chosen)
        kept = [record for record, f in zip(chosen, found) if f]
        check_classes(kept, name)
        return kept, logits[found], chosen

    def score_set(self, name: str, *, copies: bool, tiers: bool) -> tuple[Scored, int]:
        """One of `SETS`, scored, and in how many of its pictures no face was found."""
        views = {**(self.copies if copies else {}), **(self.tiers if tiers else {})}
        kept, logits, chosen = self._score(name, views)
        seen = tuple(self.scores.of(kept, view)[1] for view in self.copies) if copies else ()
        return Scored(kept, logits, self.calibration, seen), len(chosen) - len(kept)

    def measure_sets(
        self,
        names: Sequence[str],
        *,
        subject: str,
        reencode: bool = False,
        stability: bool = False,
    ) -> tuple[dict[str, Any], dict[str, Scored]]:
        """Measure sets.

        Args:
            names: of `SETS`.
            subject: what is measured, as the command line names it.
            reencode: measure the test set after each of `TIERS`, and with the stability check.
            stability: measure every set with the stability check.

        Returns:
            The numbers, with the command that gives them, and the scored sets for plots.
        """
        options = f"--sets {' '.join(names)}"
        options += " --reencode" if reencode else ""
        options += " --stability" if stability else ""
        options += " --detector haar" if self.detector.name == "haar" else ""
        results: dict[str, Any] = {
            "command": f"python -m train evaluate {subject} --data MANIFEST {options}",
            "data": fingerprint(self.records),
            "detector": self.detector.name,
            "seed": SEED,
            "sets": {},
        }
        scored: dict[str, Scored] = {}
        for name in names:
            tiers = reencode and name == "test"
            scored[name], no_face = self.score_set(name, copies=stability or tiers, tiers=tiers)
            results["sets"][name] = found = measure(scored[name], no_face)
            if name == "val":
                found["curve"] = thresholds_curve(scored[name].labels, scored[name].p_fake)
            if tiers:
                results["reencoded"] = measure_reencoded(scored[name], self.scores)
            print(f"{name}: AUC {found['auc']['value']:.4f}, ECE {found['ece']:.4f}", flush=True)
        return results, scored


def pick_gist(results: Mapping[str, Any]) -> dict[str, Any]:
    """What card.json holds of the results: what the page shows, without the lists by source."""
    sets = {
        name: {key: found[key] for key in GIST if key in found}
        for name, found in results["sets"].items()
    }
    return {**results, "sets": sets}
