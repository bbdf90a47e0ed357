"""The two parts of val: one to choose by, one to calibrate on.

What stops a run early or picks its best weights must not also set the offset, the temperature
and the thresholds, or p(fake) would be overconfident. A group is wholly in one part, by a hash of
its name.
"""

from __future__ import annotations

from collections.abc import Iterable

from train.datasets.records import Record, share


def choice(records: Iterable[Record]) -> list[Record]:
    """The records of val to stop early, and to choose weights, soups and settings by."""
    return [r for r in records if r.split == "val" and _for_choice(r)]


def calibration(records: Iterable[Record]) -> list[Record]:
    """The records of val to fit temperature, bias and thresholds to, and nothing else."""
    return [r for r in records if r.split == "val" and not _for_choice(r)]


def _for_choice(record: Record) -> bool:
    return share(f"choice {record.group}") < 0.5
