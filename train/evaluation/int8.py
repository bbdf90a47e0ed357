"""Models in int8 beside themselves: `python -m train int8 NAMES --data MANIFEST`.

The same faces, the same calibration and the same thresholds: how far the answers differ, and what a
face costs.
"""

from __future__ import annotations

import argparse
import time
from typing import Any, Final

import numpy as np
import torch

from fakeface.faces import open_detector
from fakeface.models import checkpoints
from fakeface.models.card import INT8, WEIGHTS
from fakeface.models.engine import Model
from train.datasets.records import fingerprint
from train.datasets.sets import SETS
from train.datasets.sources import add_data_arguments, read_data
from train.evaluation.evaluation import Evaluation
from train.evaluation.measure import SEED
from train.evaluation.metrics import (
    auc_difference,
    auc_interval,
    expected_calibration_error,
    wilson,
)
from train.evaluation.scored import Scored, find_flips
from train.evaluation.store import RESULTS, read_json, write_json

PATH: Final = RESULTS / "int8.json"
_FACES: Final = 32  # that the cost is measured on


def compare(full: Scored, quick: Scored) -> dict[str, Any]:
    """The same pictures, scored in full precision and in int8.

    Returns:
        The numbers of each; the difference of AUC, int8 less full precision, with the interval of a
        paired bootstrap over groups; how far p(fake) differs; the shares of verdicts that changed
        at all, and to the other side.
    """
    labels, groups = full.labels, full.groups
    before, after = full.verdicts(), quick.verdicts()
    differ, n = np.abs(quick.p_fake - full.p_fake), len(labels)
    out: dict[str, Any] = {"n_real": int((labels == 0).sum()), "n_fake": int((labels == 1).sum())}
    for name, scored, said in (("full", full, before), ("int8", quick, after)):
        flagged = said == "AI-generated"
        out[name] = {
            "auc": auc_interval(labels, scored.p_fake, groups, seed=SEED),
            "ece": expected_calibration_error(labels, scored.p_fake),
            "false_positive_rate": _rate(flagged[labels == 0]),
            "true_positive_rate": _rate(flagged[labels == 1]),
        }
    return {
        **out,
        "auc_difference": auc_difference(labels, full.p_fake, quick.p_fake, groups, seed=SEED),
        "p_fake_differs": {
            "mean": float(differ.mean()),
            "of_99_in_100_less_than": float(np.quantile(differ, 0.99)),
            "at_most": float(differ.max()),
        },
        "verdicts_changed": wilson(int((before != after).sum()), n),
        "verdicts_opposite": wilson(int(find_flips(before, after).sum()), n),
    }


def _rate(hits: Any) -> dict[str, float]:
    return wilson(int(hits.sum()), len(hits))


def measure_cost(model: Model, rounds: int = 5) -> float:
    """Milliseconds of processor time for a face, both its views: the least of some rounds."""
    size = model.preprocessing.size
    batch = torch.randn(_FACES, 3, size, size, generator=torch.manual_seed(SEED))
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        model.forward(batch)
        spent.append(time.process_time() - start)
    return 1000 * min(spent) / _FACES


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="+", help="folders of checkpoints/ that have an int8 file")
    add_data_arguments(parser)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["val"], help="default: val")
    parser.add_argument("--detector", help="yunet, mtcnn or haar (default: the best at hand)")
    args = parser.parse_args(argv)

    records, detector = read_data(args), open_detector(args.detector)
    sets = " ".join(args.sets)
    for name in args.names:
        pair = [checkpoints.load(name, device="cpu", engine=e) for e in ("auto", "int8")]
        folder = checkpoints.checkpoints_root() / name
        found: dict[str, Any] = {
            "command": f"python -m train int8 {name} --data MANIFEST --sets {sets}",
            "data": fingerprint(records),
            "detector": detector.name,
            "seed": SEED,
            "sha256": {"full": pair[0].sha256, "int8": pair[1].sha256},
            "megabytes": [(folder / file).stat().st_size / 1e6 for file in (WEIGHTS, INT8)],
            "milliseconds_a_face": [measure_cost(model) for model in pair],
            "sets": {},
        }
        ways = [Evaluation(model, records, detector, model.calibration) for model in pair]
        for chosen in args.sets:
            full, quick = (way.score_set(chosen, copies=False, tiers=False)[0] for way in ways)
            found["sets"][chosen] = compare(full, quick)
            print(name, chosen, found["sets"][chosen], flush=True)
        write_json(PATH, {**read_json(PATH), name: found})


if __name__ == "__main__":
    main()
