"""How fast the page answers: `python -m benchmarks.page`.

Times the page's own handlers, warm, on a photo of one megapixel, and in the same run the bare
forward pass of the same network in eager mode, against which the rest is put in proportion.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import torch
from gradio.utils import get_upload_folder
from PIL import Image

import app
from fakeface.images import decoder as images
from fakeface.models import checkpoints
from fakeface.page import api
from fakeface.page.check import check_photo
from fakeface.page.service import load_tools
from fakeface.types import FakefaceError


def megapixel_photo() -> bytes:
    """A JPEG of 1152 x 896 pixels with one face: the packaged portrait, enlarged and cropped."""
    portrait = Image.open(app.EXAMPLES / "grace_hopper.jpg").convert("RGB")
    width, height = 1152, 896
    large = portrait.resize((width, round(portrait.height * width / portrait.width)))
    out = BytesIO()
    large.crop((0, 100, width, 100 + height)).save(out, "JPEG", quality=92)
    return out.getvalue()


def median_ms(call: Callable[[], object], runs: int, prepare: Callable[[], object]) -> float:
    """The median time of some calls, each prepared off the clock, after two that do not count."""
    times = []
    for _ in range(runs + 2):
        prepare()
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[2:])


def peak_mib() -> float:
    """The most memory this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="How fast the page answers.")
    parser.add_argument("--model", default="", help="an installed model; else the default one")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads, for torch and OpenCV")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    try:
        name = options.model or checkpoints.default()
        (model,), detector = load_tools(name)
    except FakefaceError as error:
        parser.error(str(error))
    data = megapixel_photo()
    image = images.decode(data)
    batch = model.tensor(image, [face.box for face in detector.detect(image)])

    with TemporaryDirectory(dir=_folder(), ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "photo" / "photo.jpg"
        upload = {"path": str(path), "orig_name": "photo.jpg"}
        sent = {"file": upload}

        def write() -> None:
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_bytes(data)

        rows = [
            (label, median_ms(call, options.runs, write))
            for label, call in (
                ("page, with heatmap", lambda: check_photo(sent, name)),
                ("API, without heatmap or report", lambda: api.check(upload, name)),
                ("decoding alone", lambda: images.decode(data)),
                (f"face detection alone ({detector.name})", lambda: detector.detect(image)),
                (f"peer: eager forward, {len(batch)} face", lambda: model.logits(batch)),
            )
        ]
    print(
        f"{name}, {options.threads} threads on {model.device.type}, "
        f"{image.shape[1]} x {image.shape[0]} pixels, median of {options.runs}"
    )
    for label, ms in rows:
        print(f"{label:34} {ms:8.1f} ms {ms / rows[-1][1]:8.2f} x peer")
    print(f"{'peak memory of the process':34} {peak_mib():8.0f} MiB")
    return 0


def _folder() -> Path:
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())
