"""What the models say together: `python -m train ensemble --data SPEC --sets SET ...`.

Compare shows the verdicts of several models, and one by their vote. Here the vote of those that it
asks by default is measured, beside the default model alone on the same pictures. Scores that
`evaluate` kept are read, and what is missing is scored. Every verdict is that of the picture by
itself, without the stability check.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

from fakeface.faces import open_detector
from fakeface.models import checkpoints, zoo
from fakeface.types import Consensus, Verdict
from train.datasets.records import fingerprint
from train.datasets.sets import SETS
from train.datasets.sources import add_data_arguments, read_data
from train.evaluation.evaluation import Evaluation
from train.evaluation.measure import SEED, count_answers, share_verdicts
from train.evaluation.metrics import auc_interval
from train.evaluation.scored import Scored
from train.evaluation.store import RESULTS, write_json


def measure_ensemble(parts: Sequence[Scored]) -> dict[str, Any]:
    """The vote of models on the same pictures.

    Args:
        parts: one a model, the default model first, all with the same records.

    Returns:
        vote and alone, each as of `share_verdicts` and `count_answers`; auc, of the mean
        calibrated logit; and split, the share of pictures that two models put on opposite sides.
    """
    labels = parts[0].labels
    said = np.array([part.verdicts() for part in parts], object)
    vote = np.array([Consensus.reach(list(column)).verdict for column in said.T], object)
    mean = np.mean([part.calibration.calibrate(part.logits) for part in parts], axis=0)
    return {
        "n_real": int((labels == 0).sum()),
        "n_fake": int((labels == 1).sum()),
        "auc": auc_interval(labels, mean, parts[0].groups, seed=SEED),
        "vote": {**share_verdicts(labels, vote), **count_answers(labels, vote)},
        "alone": {**share_verdicts(labels, said[0]), **count_answers(labels, said[0])},
        "split": float(((said == Verdict.FAKE).any(0) & (said == Verdict.REAL).any(0)).mean()),
    }


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_data_arguments(parser)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["val"], help="default: val")
    parser.add_argument("--detector", help="yunet, mtcnn or haar (default: the best at hand)")
    args = parser.parse_args(argv)

    detector, records = open_detector(args.detector), read_data(args)
    best = checkpoints.default()
    cards = [card for card in checkpoints.installed() if not zoo.weak(card)]
    names = sorted((card.name for card in cards), key=lambda name: (name != best, name))
    models = [checkpoints.load(name) for name in names]
    asked = [Evaluation(model, records, detector, model.calibration) for model in models]
    sets = {}
    for name in args.sets:
        found = [one.score_set(name, copies=False, tiers=False)[0] for one in asked]
        sets[name] = measure_ensemble(found)
        print(name, sets[name], flush=True)
    write_json(
        RESULTS / "ensemble.json",
        {
            "command": f"python -m train ensemble --data SPEC --sets {' '.join(args.sets)}",
            "models": names,
            "data": fingerprint(records),
            "detector": detector.name,
            "seed": SEED,
            "sets": sets,
        },
    )


if __name__ == "__main__":
    main()
