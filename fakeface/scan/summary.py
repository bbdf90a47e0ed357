"""What became of the files of a scan, in numbers and sentences."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field

from fakeface.names import spell
from fakeface.types import Status

log = logging.getLogger(__name__)

_NAMED = 3  # files that are named of each group


@dataclass(slots=True)
class Group:
    """Files that share a reason: how many, and the first few."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, *names: str, count: int = 1) -> None:
        """Count more of them; names beyond the first few are forgotten."""
        self.count += count
        self.first += names[: _NAMED - len(self.first)]


@dataclass(slots=True)
class Summary:
    """What became of the files.

    Attributes:
        counts: files by status, those of earlier runs included.
        earlier: how many of them the table held already.
        missing: how many files were found and are not in the table, because the scan was stopped.
        unreadable: sentences -> the files that could not be read in this run.
        left_out: sentences -> files and folders that were found and not taken.
    """

    counts: Counter[Status] = field(default_factory=Counter)
    earlier: int = 0
    missing: int = 0
    unreadable: dict[str, Group] = field(default_factory=dict)
    left_out: dict[str, Group] = field(default_factory=dict)

    @property
    def read(self) -> int:
        """How many files are pictures that could be read, with a face or without."""
        return self.counts[Status.OK] + self.counts[Status.NO_FACE]

    def add(self, other: Summary) -> None:
        """Take over what became of other files; none of them is missing."""
        self.counts += other.counts
        self.earlier += other.earlier
        for mine, theirs in (
            (self.unreadable, other.unreadable),
            (self.left_out, other.left_out),
        ):
            for reason, group in theirs.items():
                mine.setdefault(reason, Group()).add(*group.first, count=group.count)

    def add_unreadable(self, reason: str, name: str) -> None:
        """Note why a file could not be read; equal reasons are told once."""
        if reason.startswith(f"{spell(name)} "):
            reason = f"This file {reason.removeprefix(spell(name)).lstrip()}"
        self.unreadable.setdefault(reason, Group()).add(name)

    def add_left_out(self, reason: str, name: str) -> None:
        """Note why a file or folder is not taken."""
        log.info("Left out: %s %s", name, reason)
        self.left_out.setdefault(reason, Group()).add(name)
