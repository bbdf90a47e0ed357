"""What metadata alone can tell: `python -m train metadata-baseline --data MANIFEST`.

A classifier that never sees a pixel is given the size of the file, the dimensions and the JPEG
tables. A detector that is not far better than this has learnt how its data was saved.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.ensemble import HistGradientBoostingClassifier

from fakeface.progress import progress
from train.datasets.records import Record, fingerprint
from train.datasets.sets import SETS, choose
from train.datasets.sources import add_data_arguments, read_data
from train.evaluation.measure import SEED
from train.evaluation.metrics import Array, auc_interval, tpr_at_fpr
from train.evaluation.store import RESULTS, write_json


def describe(data: bytes) -> list[float]:
    """Bytes, dimensions, bytes a pixel, quantisation tables, subsampling, metadata: no pixel."""
    with Image.open(BytesIO(data)) as image:
        width, height = image.size
        tables = getattr(image, "quantization", None) or {}
        luma = list(tables.get(0, [math.nan] * 64))
        chroma = list(tables.get(1, [math.nan] * 64))
        sampling = [layer[1] * layer[2] for layer in getattr(image, "layer", [])][:1] or [math.nan]
        flags = [float(key in image.info) for key in ("progressive", "exif", "icc_profile", "jfif")]
    shape = [len(data), width, height, width / height, len(data) / (width * height)]
    return [
        *map(float, shape),
        *map(float, luma),
        *map(float, chroma),
        *map(float, sampling),
        *flags,
    ]


def features(records: Sequence[Record]) -> Array:
    """`describe` of every record, (N, 138)."""
    return np.array([describe(record.read()) for record in progress(records, desc="metadata")])


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_data_arguments(parser)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["val"], help="default: val")
    parser.add_argument("--out", type=Path, default=RESULTS / "baseline.json")
    args = parser.parse_args(argv)

    records = read_data(args)
    train = [r for r in records if r.split == "train"]
    model = HistGradientBoostingClassifier(random_state=SEED, class_weight="balanced")
    model.fit(features(train), [r.label for r in train])
    results: dict[str, Any] = {
        "command": "python -m train metadata-baseline --data MANIFEST"
        f" --sets {' '.join(args.sets)}",
        "data": fingerprint(records),
        "seed": SEED,
        "sets": {},
    }
    for name in args.sets:
        chosen = choose(records, name)
        labels = np.array([r.label for r in chosen])
        scores = model.predict_proba(features(chosen))[:, 1]
        results["sets"][name] = {
            "n_real": int((labels == 0).sum()),
            "n_fake": int((labels == 1).sum()),
            "auc": auc_interval(labels, scores, [r.group for r in chosen], seed=SEED),
            "tpr_at_fpr_1": tpr_at_fpr(labels, scores, 0.01),
            "tpr_at_fpr_5": tpr_at_fpr(labels, scores, 0.05),
        }
        print(name, json.dumps(results["sets"][name]["auc"]))
    write_json(args.out, results)


if __name__ == "__main__":
    main()
