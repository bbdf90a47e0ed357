"""What a run tells while it goes on: log.csv, TensorBoard and the log."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger("train")


class Journal:
    """The lines of one run, an epoch each.

    Attributes:
        path: the CSV file, which a run that goes on appends to.
        board: of TensorBoard, one file from the first line to `close`.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log.csv"
        self.board: SummaryWriter | None = None

    def note(self, **row: str | float) -> None:
        """Append a line to log.csv, tell TensorBoard, and log it."""
        fresh = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        if self.board is None:
            self.board = SummaryWriter(self.path.parent)
        position = len(self.path.read_text().splitlines()) - 1
        for name, value in row.items():
            if isinstance(value, float):
                self.board.add_scalar(name, value, position)
        self.board.flush()  # a kill leaves the line here too
        said = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
        log.info("  ".join(said))

    def close(self) -> None:
        """Close what `note` opened."""
        if self.board:
            self.board.close()
            self.board = None
