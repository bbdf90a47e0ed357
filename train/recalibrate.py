"""Calibrate a shipped model anew: `python -m train recalibrate NAME --data MANIFEST`.

Offset, temperature and both thresholds are fitted to the calibration part of val, as when a run is
exported; for data that came after the model. The weights stay, and so do the results measured at
the old thresholds: measure the model again (`python -m train evaluate`).
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Sequence

from fakeface.faces import Detector, open_detector
from fakeface.models import checkpoints
from fakeface.models.card import Card, Shortcuts
from fakeface.models.engine import Model
from train.datasets.faces import face_cache, find_faces
from train.datasets.records import Record, fingerprint
from train.datasets.sets import check_classes, choose
from train.datasets.sources import add_data_arguments, read_data
from train.evaluation.calibration import calibrate, describe_calibration
from train.evaluation.inference import predict


def fit_calibration(
    model: Model, records: Sequence[Record], detector: Detector, command: str
) -> Card:
    """A model's card with a calibration fitted to the calibration part of val.

    Args:
        model: its own calibration does not matter.
        records: of which the calibration part is taken.
        detector: finds the faces.
        command: that this is done by, for the card.

    Raises:
        SourceError: the part lacks photographs or fakes.
    """
    part = choose(records, "calibration")
    part, logits = predict(model, part, find_faces(part, detector, face_cache(detector)))
    check_classes(part, "calibration")
    calibration = calibrate(part, logits)
    limits = {
        "command": command,
        "data": "photographs, and generated and edited faces of the calibration part of val",
        "fingerprint": fingerprint(part),
        **describe_calibration(part, logits, calibration),
    }
    return dataclasses.replace(
        model.card,
        calibration=calibration,
        shortcuts=rescale(
            model.card.shortcuts, model.calibration.temperature / calibration.temperature
        ),
        training={**model.card.training, "calibration": limits},
    )


def rescale(shortcuts: Shortcuts, factor: float) -> Shortcuts:
    """What was measured in calibrated log-odds, at another temperature; rounded up.

    Whether bfloat16 changes p(fake) too much has to be measured anew, so it is not allowed.

    Args:
        shortcuts: at the old temperature.
        factor: the old temperature as a multiple of the new one.
    """
    moves = {
        name: (math.ceil(10 * down * factor) / 10, math.ceil(10 * up * factor) / 10)
        for name, (down, up) in shortcuts.moves.items()
    }
    return Shortcuts(bf16=False, moves=moves)


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", help="a folder of checkpoints/")
    add_data_arguments(parser)
    parser.add_argument("--detector", help="yunet, mtcnn or haar (default: the best at hand)")
    args = parser.parse_args(argv)
    model = checkpoints.load(args.name)
    command = f"python -m train recalibrate {args.name} --data MANIFEST"
    card = fit_calibration(model, read_data(args), open_detector(args.detector), command)
    checkpoints.write_card(checkpoints.checkpoints_root() / args.name, card)
    print(f"{args.name}: {card.calibration}")


if __name__ == "__main__":
    main()
