"""How often a group is called AI-generated: `python -m train crowds NAME --data SPEC`.

Groups are composed of the photographs of a set, each with a face of its own, and judged as the
faces of one picture are (`fakeface.crowd`). The scores are those of the pictures as they are,
without the copies of the stability check, which turns some verdicts to unsure.
"""

from __future__ import annotations

import argparse

import numpy as np
import numpy.typing as npt

from fakeface.crowd import FalseAlarms, beyond_chance
from fakeface.faces import open_detector
from fakeface.models import checkpoints
from train.datasets.sources import add_data_arguments, read_data
from train.evaluation.evaluation import Evaluation
from train.evaluation.metrics import Array

SEED = 0
SIZES = (1, 2, 5, 12, 20)  # faces of a group
GROUPS = 1000  # of each size
ROUNDS = 200  # of the bootstrap


def flag(p_fake: Array, alarms: FalseAlarms) -> tuple[Array, Array]:
    """Which groups (G, faces) are called AI-generated.

    Returns:
        By the highest score alone, and by the rule for several faces; bool (G,) each.
    """
    alone: npt.NDArray[np.bool_] = p_fake >= alarms.fake_above
    return alone.any(axis=1), beyond_chance(p_fake, alone, alarms).any(axis=1)


def compose(scores: Array, size: int, groups: int, rng: np.random.Generator) -> Array:
    """Groups (G, size) of scores (N,); none has one score twice."""
    each = len(scores) // size  # that one shuffle of the scores is cut into
    if not each:
        raise ValueError(f"{len(scores)} pictures do not make a group of {size}")
    shuffles = [rng.permutation(scores)[: each * size] for _ in range(-(-groups // each))]
    return np.concatenate(shuffles).reshape(-1, size)[:groups]


def measure(
    photographs: Array,
    fakes: Array,
    size: int,
    alarms: FalseAlarms,
    *,
    groups: int = GROUPS,
    rounds: int = ROUNDS,
) -> dict[str, list[float]]:
    """The shares of groups of one size that are called AI-generated.

    Groups that share photographs are not independent, so the intervals are of the photographs and
    fakes: whole sets of them are drawn again, with replacement.

    Args:
        photographs: p(fake) of real faces, (N,).
        fakes: the same of fakes, (M,).
        size: faces of a group.
        alarms: of the model.
        groups: how many.
        rounds: of the bootstrap, which share as many groups again.

    Returns:
        [share, low, high] of `alone` (by the highest score), `together` (by the rule), both of
        photographs only, and `one_fake` (by the rule, with one fake in place of a photograph).
    """
    rng = np.random.default_rng(SEED)

    def shares(real: Array, fake: Array, count: int) -> list[float]:
        group = compose(real, size, count, rng)
        alone, together = flag(group, alarms)
        group[:, 0] = rng.choice(fake, count)
        return [alone.mean(), together.mean(), flag(group, alarms)[1].mean()]

    found = shares(photographs, fakes, groups)
    drawn = [
        shares(rng.choice(photographs, len(photographs)), rng.choice(fakes, len(fakes)), groups)
        for _ in range(rounds)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    names = ("alone", "together", "one_fake")
    return {n: [float(x) for x in row] for n, *row in zip(names, found, low, high)}


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", help="a folder of checkpoints/")
    add_data_arguments(parser)
    parser.add_argument(
        "--sets", nargs="+", default=["test_unseen", "choice"], help="default: %(default)s"
    )
    parser.add_argument("--detector", help="yunet, mtcnn or haar (default: the best at hand)")
    args = parser.parse_args(argv)

    model = checkpoints.load(args.name)
    alarms = FalseAlarms.measured(model.card.metrics, model.calibration.fake_above)
    subject = Evaluation(model, read_data(args), open_detector(args.detector), model.calibration)
    for name in args.sets:
        scored, _ = subject.score_set(name, copies=False, tiers=False)
        real = scored.labels == 0
        print(f"{name}: {real.sum()} photographs, {(~real).sum()} fakes")
        for size in SIZES:
            found = measure(scored.p_fake[real], scored.p_fake[~real], size, alarms)
            row = (f"{n} {x:.2%} ({low:.2%} to {high:.2%})" for n, (x, low, high) in found.items())
            print(f"  {size:2} faces: {', '.join(row)}", flush=True)


if __name__ == "__main__":
    main()
