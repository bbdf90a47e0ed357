"""How near the models come to what a GPU can do: `python -m benchmarks.cuda`, for eight minutes.

First what the card does at best, as a product of large matrices in bfloat16; then the faces a
second of each model, alone on the card, as a share of that; then the whole way from JPEG files,
and which part of it is the slowest. With `--small` it runs a little of each, on the CPU where there
is no GPU; that shows that it works, and says nothing of a GPU.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.pictures import fill
from fakeface.faces import Detector, open_detector
from fakeface.images import decoder
from fakeface.models import checkpoints
from fakeface.models.engine import Model
from fakeface.scan.pipeline import scan
from fakeface.scan.table import Table
from fakeface.types import RGB, Picture

LIMIT: Final = 480.0  # seconds; what is not begun by then is left out


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        matrix: side of the square matrices.
        batches: faces at a time.
        files: in the scan.
        seconds: of each measurement.
    """

    matrix: int
    batches: tuple[int, ...]
    files: int
    seconds: float


LARGE: Final = Sizes(8192, (32, 128, 512), 2000, 4.0)
SMALL: Final = Sizes(256, (2,), 4, 0.0)


def wait(device: torch.device) -> None:
    """Until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rate(call: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Calls a second, after two that do not count."""
    for _ in range(2):
        call()
    wait(device)
    start, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - start < seconds:
        for _ in range(4):  # the device is told ahead, as in a real run
            call()
        count += 4
        wait(device)
    return count / (time.perf_counter() - start)


def matrix_rate(device: torch.device, sizes: Sizes) -> float:
    """Floating-point operations a second of a product of square bfloat16 matrices."""
    side = sizes.matrix
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 * rate(lambda: a @ b, device, sizes.seconds)


def operations(model: Model) -> int:
    """Floating-point operations of one pass of one face, an addition and a product being two."""
    size = model.preprocessing.size
    face = torch.zeros(1, 3, size, size, device=model.device)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.network(face)
    return int(counter.get_total_flops())


def measure_model(model: Model, best: float, sizes: Sizes) -> Iterator[str]:
    """Passes a second, by precision and batch, faces being on the device already."""
    size, need = model.preprocessing.size, operations(model)
    for precision in (torch.float16, torch.bfloat16):
        for count in sizes.batches:
            faces = torch.randn(count, 3, size, size, device=model.device)
            faces = faces.contiguous(memory_format=torch.channels_last)

            def run(faces: torch.Tensor = faces, precision: torch.dtype = precision) -> None:
                with torch.inference_mode(), torch.autocast(model.device.type, precision):
                    model.network(faces)

            passes = count * rate(run, model.device, sizes.seconds)
            name = str(precision).removeprefix("torch.")
            yield (
                f"| {model.name} | {name} | {count} | {passes:.0f} | {need / 1e9:.2f} | "
                f"{passes * need / best:.1%} |"
            )


def files_a_second(stage: Callable[[Path], object], files: Sequence[Path], workers: int) -> float:
    """How many files some threads get through one stage in a second."""
    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(stage, files))
    return len(files) / (time.perf_counter() - start)


def measure_way(
    model: Model, detector: Detector, folder: Path, out: Path, workers: int
) -> Iterator[str]:
    """The whole way from JPEG files, and each stage by itself with all the threads."""
    files = sorted(folder.iterdir())
    pictures: dict[Path, Picture] = {}
    faces: dict[Path, torch.Tensor] = {}

    def decode(path: Path) -> None:
        pictures[path] = decoder.open_picture(path)

    def detect(path: Path) -> None:
        image: RGB = pictures[path].rgb
        boxes = [face.box for face in detector.detect(image)]
        if boxes:
            faces[path] = model.tensor(image, boxes)

    rates = {
        "read and decode": files_a_second(decode, files, workers),
        "detect, crop, to the device": files_a_second(detect, files, workers),
    }
    batch = torch.cat(list(faces.values()))
    start = time.perf_counter()
    model.forward(batch)  # with the mirror image, in one call for the faces of all files
    rates["judge, all faces in one call"] = len(files) / (time.perf_counter() - start)
    start = time.perf_counter()
    scan([str(folder)], Table(out), models=[model], detector=detector, workers=workers)
    whole = len(files) / (time.perf_counter() - start)
    for name, found in rates.items():
        yield f"| {name} | {found:.1f} |"
    yield f"| the whole scan, with copies near thresholds | {whole:.1f} |"
    slowest = min(rates, key=lambda name: rates[name])
    yield f"\nThe bottleneck is: {slowest}."


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; see --help."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--small", action="store_true", help="little of each, on the CPU too")
    parser.add_argument("--models", nargs="*", help="installed models; else all of them")
    parser.add_argument("--data", type=Path, help="a manifest whose test pictures are scanned")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args(argv)
    begun = time.perf_counter()
    if not (torch.cuda.is_available() or args.small):
        print("There is no CUDA device here; --small runs a little of each on the CPU.")
        return 1
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sizes = SMALL if args.small else LARGE
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"
    best = matrix_rate(device, sizes)
    print(f"{card}, torch {torch.__version__}, {args.workers} threads")
    print(f"bfloat16 matrices of {sizes.matrix}: {best / 1e12:.1f} TFLOP/s\n")
    print("| model | precision | batch | passes a second | GFLOP a pass | of the matrix rate |")
    print("| --- | --- | --- | --- | --- | --- |")
    names = args.models or [card.name for card in checkpoints.installed()]
    for name in names:
        if time.perf_counter() - begun > LIMIT / 2:
            print(f"{name} and those after it were left out for want of time.")
            break
        for line in measure_model(checkpoints.load(name, device=device.type), best, sizes):
            print(line, flush=True)
    first = checkpoints.load(args.models[0] if args.models else checkpoints.default())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "files"
        folder.mkdir()
        print(f"\n{first.name}, from {fill(folder, sizes.files, args.data)}\n")
        print("| stage | files a second |\n| --- | --- |")
        way = measure_way(first, open_detector(), folder, Path(place) / "table.csv", args.workers)
        for line in way:
            print(line, flush=True)
    print(f"\n{time.perf_counter() - begun:.0f} seconds in all.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
