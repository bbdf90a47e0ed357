"""The pictures that benchmarks look at."""

from __future__ import annotations

import csv
import random
from io import BytesIO
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PORTRAIT = ROOT / "examples" / "grace_hopper.jpg"


def megapixel_photo(megapixels: float = 1.03) -> bytes:
    """A JPEG of 9 to 7 with one face: the packaged portrait, enlarged and cropped."""
    portrait = Image.open(PORTRAIT).convert("RGB")
    width = round((megapixels * 1e6 * 9 / 7) ** 0.5)
    height = round(width * 7 / 9)
    large = portrait.resize((width, round(portrait.height * width / portrait.width)))
    top = large.height // 12
    out = BytesIO()
    large.crop((0, top, width, top + height)).save(out, "JPEG", quality=92)
    return out.getvalue()


def fill(folder: Path, count: int, manifest: Path | None, seed: int = 0) -> str:
    """Put pictures into a folder, no two of the same bytes.

    Args:
        folder: an empty one.
        count: how many.
        manifest: of a data set, whose test pictures are linked to; None for variants of the
            packaged portrait.
        seed: of the draw.

    Returns:
        What they are, in words.
    """
    rng = random.Random(seed)  # noqa: S311
    if manifest is None:
        portrait = Image.open(PORTRAIT).convert("RGB")
        for number in range(count):
            factor = rng.uniform(0.3, 1)
            made = portrait.resize(
                (round(portrait.width * factor), round(portrait.height * factor))
            )
            made.save(folder / f"{number:05}.jpg", quality=rng.randint(70, 95))
        return f"{count} copies of the packaged portrait, of 0.3 to 1 times its size"
    with manifest.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    chosen = rng.sample(rows, min(count, len(rows)))
    for row in chosen:
        name = row["file"]
        (folder / name.replace("/", "_")).symlink_to((manifest.parent / name).resolve())
    pixels = sorted(int(row["width"]) * int(row["height"]) for row in chosen)
    return (
        f"{len(chosen)} test pictures of {manifest.parent.name}, drawn with seed {seed}, "
        f"{pixels[len(pixels) // 2] / 1e6:.2f} megapixels in the middle"
    )
