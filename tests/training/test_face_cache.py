"""The faces that training found before: one file, which several processes may extend at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.pools import Whole, record
from train.datasets.faces import find_faces

# Finds the faces of a third of the pictures, beginning when both processes are ready.
SCRIPT = """
import sys, time
from pathlib import Path
from fakeface.types import Box, Face
from train.datasets.faces import find_faces
from train.datasets.records import Record

class Slow:
    name = "yunet"

    def detect(self, image):
        time.sleep(0.02)
        return (Face(Box(0, 0, 20, 20)),)

folder, part = Path(sys.argv[1]), int(sys.argv[2])
files = [folder / f"{i}.png" for i in range(part, 30, 3)]
records = [Record(f, 0, "train", "photo", "s", "f", f.stem, f.stem) for f in files]
(folder / f"ready{part}").touch()
while not (folder / f"ready{1 - part}").exists():
    time.sleep(0.01)
find_faces(records, Slow(), folder / "faces.json")
"""


def records(folder: Path):
    return [record(str(folder / f"{i}.png")) for i in range(30)]


def pictures(folder: Path) -> None:
    for i in range(30):
        Image.fromarray(np.full((20 + i, 30, 3), i, np.uint8)).save(folder / f"{i}.png")


def test_two_processes_extend_one_cache_and_lose_nothing(tmp_path):
    pictures(tmp_path)
    root = Path(__file__).resolve().parents[2]
    both = [
        subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path), str(part)], cwd=root)
        for part in (0, 1)
    ]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    known = json.loads((tmp_path / "faces.json").read_text())
    assert known.keys() == {str(i) for part in (0, 1) for i in range(part, 30, 3)}
    assert not list(tmp_path.glob("*.part"))


def test_what_another_process_found_meanwhile_is_kept(tmp_path):
    """0.8.0 wrote what it had read at its start, and what it found; the rest was lost."""
    pictures(tmp_path)
    first, second, *_ = records(tmp_path)

    class Meanwhile(Whole):
        def detect(self, image):
            find_faces([second], Whole(), tmp_path / "faces.json")
            return super().detect(image)

    find_faces([first], Meanwhile(), tmp_path / "faces.json")
    assert json.loads((tmp_path / "faces.json").read_text()).keys() == {
        first.sha256,
        second.sha256,
    }
