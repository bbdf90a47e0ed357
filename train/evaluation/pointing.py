"""Does the heatmap show the place? `python -m train pointing NAME --data SPEC`.

Photographs of the test split get a region blended onto themselves, whose mask is known (see
`train.augment.blend`). Grad-CAM for the side of the fakes is held against that mask, beside that of
the untouched photograph, a map of random numbers and a blob in the middle; and the blended faces
against their photographs. A model whose map lies there as often without the blend knows where faces
are blended, and does not see the blend.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from fakeface.explain import grad_cam
from fakeface.faces import open_detector
from fakeface.images import decoder as images
from fakeface.models import checkpoints
from fakeface.models.engine import Model
from fakeface.models.preprocess import face_region, face_tensor
from fakeface.progress import progress
from fakeface.types import FloatArray
from train.augment.blend import self_blend
from train.datasets.faces import Faces, face_cache, find_faces
from train.datasets.records import Record, fingerprint
from train.datasets.sources import add_data_arguments, read_data
from train.evaluation.inference import BATCH, quick_logits
from train.evaluation.measure import SEED
from train.evaluation.metrics import Array, auc_interval
from train.evaluation.store import write_json
from train.training.finished import load_run


def hit(heat: FloatArray, region: Array) -> bool:
    """The pointing game (Zhang et al., "Top-down Neural Attention by Excitation Backprop", 2016).

    Args:
        heat: (S, S); one without any heat points nowhere.
        region: bool (S, S).
    """
    return bool(heat.max() > 0 and region.flat[int(heat.argmax())])


def overlap(heat: FloatArray, region: Array) -> float:
    """IoU of the region with as many of the hottest pixels as it has."""
    count = int(region.sum())
    hottest = np.zeros(heat.size, bool)
    hottest[np.argsort(-heat, axis=None, kind="stable")[:count]] = True
    both = int((hottest & region.ravel()).sum())
    return both / (2 * count - both)


def centre_blob(side: int) -> FloatArray:
    """A map that is hottest in the middle."""
    across = cv2.getGaussianKernel(side, side / 4).astype(np.float32)
    return np.asarray(across @ across.T, np.float32)


def measure(
    model: Model, records: Sequence[Record], faces: Faces, seed: int = SEED
) -> dict[str, Any]:
    """Blend every photograph and hold the heatmaps against the masks.

    Returns:
        n, auc, and pointing and iou by what made the map (model, untouched, random, centre).
    """
    logits_of = quick_logits(model, 2 * len(records))
    size = model.preprocessing.size
    rng = np.random.default_rng(seed)
    blob = centre_blob(size)
    hits: defaultdict[str, list[float]] = defaultdict(list)
    overlaps: defaultdict[str, list[float]] = defaultdict(list)
    before, after = [], []
    bar: tqdm[None] = progress(total=len(records), desc=model.name)
    for clean, blended, regions in pairs(model, records, faces, seed):
        before.append(logits_of(clean))
        after.append(logits_of(blended))
        sides = np.ones(len(clean), np.float32)
        heats, untouched = grad_cam(model, blended, sides), grad_cam(model, clean, sides)
        for i, region in enumerate(regions):
            noise = rng.random((size, size), np.float32)
            maps = {"model": heats[i], "untouched": untouched[i], "random": noise, "centre": blob}
            for name, one in maps.items():
                hits[name].append(hit(one, region))
                overlaps[name].append(overlap(one, region))
        bar.update(len(clean))
    labels = np.repeat([0, 1], len(records))
    return {
        "n": len(records),
        "auc": auc_interval(
            labels, np.concatenate(before + after), [r.group for r in records] * 2, seed=seed
        ),
        "pointing": _means(hits),
        "iou": _means(overlaps),
    }


def _means(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: float(np.mean(found)) for name, found in values.items()}


def pairs(
    model: Model, records: Sequence[Record], faces: Faces, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, list[Array]]]:
    """Batches of photographs, the same blended, and where, bool (S, S) each."""
    how = model.preprocessing
    for first in range(0, len(records), BATCH):
        clean, blended, regions = [], [], []
        for i, record in enumerate(records[first : first + BATCH], first):
            image, box = images.decode(record.read()), faces[record.sha256]
            mixed, mask = self_blend(image, box, np.random.default_rng((seed, i)))
            at = face_region(box, image.shape[1], image.shape[0], how.margin)
            seen = mask[at.y : at.y + at.h, at.x : at.x + at.w]
            small = cv2.resize(seen, (how.size, how.size), interpolation=cv2.INTER_LINEAR)
            clean.append(face_tensor(image, box, how))
            blended.append(face_tensor(mixed, box, how))
            regions.append(small > 0.5 * mask.max())
        yield torch.stack(clean), torch.stack(blended), regions


def main(argv: list[str] | None = None) -> None:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", nargs="?", help="a folder of checkpoints/")
    parser.add_argument("--run", type=Path, help="a folder of runs/ instead; nothing is written")
    parser.add_argument("--split", default="test", help="whose photographs (default: test)")
    add_data_arguments(parser)
    parser.add_argument("--count", type=int, default=400, help="photographs (default: 400)")
    parser.add_argument("--detector", help="yunet, mtcnn or haar (default: the best at hand)")
    args = parser.parse_args(argv)

    if (args.name is None) == (args.run is None):
        parser.error("give the name of a model, or --run and the folder of a training run")
    model = load_run(args.run) if args.run else checkpoints.load(args.name)
    detector = open_detector(args.detector)
    records = read_data(args)
    photographs = [r for r in records if r.split == args.split and r.label == 0]
    cache = face_cache(detector)
    faces = find_faces(photographs, detector, cache)
    usable = [r for r in photographs if r.sha256 in faces]
    order = np.random.default_rng(SEED).permutation(len(usable))[: args.count]
    results = {
        "command": f"python -m train pointing {args.name or f'--run {args.run}'} --data SPEC "
        f"--count {args.count}"
        + (f" --split {args.split}" if args.split != "test" else "")
        + (f" --detector {args.detector}" if args.detector else ""),
        "data": fingerprint(records),
        "detector": detector.name,
        "seed": SEED,
        **measure(model, [usable[i] for i in sorted(order)], faces),
    }
    if args.name:
        write_json(checkpoints.checkpoints_root() / args.name / "pointing.json", results)
    print(results)


if __name__ == "__main__":
    main()
