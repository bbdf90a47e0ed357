"""The peer that is a plain loop: PIL, torchvision's transforms, eager PyTorch, one pass a face.

It has the same face detector, run by OpenCV, the same weights and the same squares around faces.
It judges the largest face of each file alone, one file after the other, as a first script would.
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from serve import serve, time_calls  # type: ignore[import-not-found]
from torchvision import transforms

from fakeface.faces import largest, open_detector
from fakeface.models import checkpoints
from fakeface.models.preprocess import face_region

NAME = sys.argv[1]
os.environ["FAKEFACE_ENGINE"] = "torch"  # so OpenCV runs the detector
model, detector = checkpoints.load(NAME), open_detector()
how = model.preprocessing
to_tensor = transforms.Compose(
    [
        transforms.Resize((how.size, how.size), transforms.InterpolationMode.BICUBIC),
        transforms.ToTensor(),
        transforms.Normalize(how.mean, how.std),
    ]
)


@torch.inference_mode()
def judge(path: Path) -> float | None:
    """p(fake) of the largest face."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    face = largest(detector.detect(np.asarray(image)))
    if face is None:
        return None
    region = face_region(face.box, image.width, image.height, how.margin)
    crop = image.crop((region.x, region.y, region.x + region.w, region.y + region.h))
    logit = model.network(to_tensor(crop)[None])
    return model.calibration.probability(logit.item())


def scan(source: str, table: str) -> int:
    """All files of a folder into a new table; how many were judged."""
    files = sorted(Path(source).iterdir())
    with open(table, "w", newline="") as file:
        writer = csv.writer(file)
        for path in files:
            writer.writerow([path, judge(path)])
    return len(files)


def verdict(photo: str, runs: int) -> list[float]:
    """Milliseconds of each answer about a photo."""
    return time_calls(lambda: judge(Path(photo)), runs)


serve(scan=scan, verdict=verdict)
