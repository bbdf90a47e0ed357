"""Draws empty_room.png: `python examples/draw.py`."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

SCALE = 3  # drawn large and shrunk, which smooths the edges
SIZE = 640, 480


def room() -> Image.Image:
    """A room at dusk with a window, a table and a plant, and nobody in it."""
    picture = Image.new("RGB", (SIZE[0] * SCALE, SIZE[1] * SCALE), "#e9dfcf")
    pen = ImageDraw.Draw(picture)

    def box(x: int, y: int, w: int, h: int, colour: str) -> None:
        pen.rectangle([n * SCALE for n in (x, y, x + w, y + h)], colour)

    def ring(x: int, y: int, w: int, h: int, colour: str) -> None:
        pen.ellipse([n * SCALE for n in (x, y, x + w, y + h)], colour)

    box(0, 340, 640, 140, "#b98d63")
    box(0, 330, 640, 10, "#d6c7b0")
    box(90, 60, 220, 190, "#fffaf0")
    for row in range(170):
        sky = tuple(int(a + (b - a) * row / 170) for a, b in ((96, 246), (132, 190), (178, 140)))
        box(100, 70 + row, 200, 1, "#{:02x}{:02x}{:02x}".format(*sky))
    ring(210, 165, 44, 44, "#fbe3a1")
    pen.polygon([n * SCALE for n in (100, 240, 160, 190, 220, 225, 260, 200, 300, 240)], "#54657d")
    box(196, 70, 8, 170, "#fffaf0")
    box(360, 250, 220, 14, "#7c5433")
    box(380, 264, 12, 130, "#7c5433")
    box(548, 264, 12, 130, "#7c5433")
    pen.polygon([n * SCALE for n in (440, 205, 500, 205, 490, 250, 450, 250)], "#3f6d8c")
    for dx, dy, w, h in ((430, 110, 26, 100), (455, 90, 28, 118), (484, 120, 26, 90)):
        ring(dx, dy, w, h, "#4d7c4f")
    return picture.resize(SIZE, Image.Resampling.LANCZOS).quantize(64)


if __name__ == "__main__":
    room().save(Path(__file__).with_name("empty_room.png"), optimize=True)
