"""The files of some sources -> rows of a table."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from fakeface.analysis import analyse, read_or_report
from fakeface.batch import Item
from fakeface.faces import Detector
from fakeface.models.batching import MergedModel
from fakeface.models.engine import Model
from fakeface.names import spell
from fakeface.scan.rows import Row, path_cell, rows
from fakeface.scan.shards import Shard
from fakeface.scan.sources import find
from fakeface.scan.table import Table
from fakeface.types import Analysis, ImageError, Status

log = logging.getLogger(__name__)

_NAMED = 3  # files that are named of each group
_KNOWN = 100_000  # pictures that are remembered, to judge the same bytes once


@dataclass(slots=True)
class Group:
    """Files that share a reason: how many, and the first few."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.first) < _NAMED:
            self.first.append(name)


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

    def add_unreadable(self, reason: str, name: str) -> None:
        """Note why a file could not be read; equal reasons are told once."""
        if reason.startswith(f"{spell(name)} "):
            reason = f"This file {reason.removeprefix(spell(name)).lstrip()}"
        self.unreadable.setdefault(reason, Group()).add(name)

    def add_left_out(self, reason: str, name: str) -> None:
        """Note why a file or folder is not taken."""
        log.info("Left out: %s %s", name, reason)
        self.left_out.setdefault(reason, Group()).add(name)


class Progress(Protocol):
    """What tqdm's bars are."""

    total: float | None

    def update(self, n: float | None = 1) -> object:
        """So many more files are done."""
        ...

    def close(self) -> object:
        """No more will be done."""
        ...


def scan(
    sources: Iterable[str],
    table: Table,
    *,
    models: Sequence[Model],
    detector: Detector,
    workers: int | None = None,
    progress: Callable[[int], Progress] | None = None,
    summary: Summary | None = None,
) -> Summary:
    """Judge every picture by every model, and write each down in the order they are found.

    Threads read, decode and look for faces ahead, and share the runs of the networks (see
    `models.batching`); each holds one picture, so memory does not grow with the files. Files with
    the same bytes are judged once. Files that the table has with all of the models are not read
    again; those it has with some are judged by the others.

    Args:
        sources: see `sources.find`.
        table: where rows are appended; it is opened here.
        models: at least one.
        detector: see `fakeface.faces`.
        workers: how many threads; None for one more than there are processors.
        progress: is given the number of files that are left to do, an archive counting as one
            until it is opened, and makes a bar of it.
        summary: to be filled, for callers that need it after an exception too.

    Raises:
        SourceError: what is to be scanned cannot be listed.
        TableError: the table cannot be written; what was written stays.
    """
    summary = summary or Summary()
    threads = workers or (os.cpu_count() or 1) + 1
    found = list(find(sources, skip=table.files, left_out=summary.add_left_out))
    with table:
        work = _Work(table, [MergedModel(model) for model in models], summary)
        todo = work.todo(found)
        with (
            work.show_progress(progress),
            closing(_ahead(_Judge(detector), work.items(todo), threads)) as judged,
        ):
            for item, outcome in judged:
                table.append(row._replace(path=path_cell(item.name)) for row in outcome.rows)
                work.done(item, outcome)
    return summary


class _Work:
    """What is left to do, and what became of the rest."""

    def __init__(self, table: Table, models: Sequence[Model], summary: Summary) -> None:
        self.table, self.models, self.summary = table, models, summary
        self.bar: Progress | None = None

    def todo(self, found: Iterable[Item | Shard]) -> list[Item | Shard]:
        """The archives, and the files that the table does not have with all models."""
        todo = [source for source in found if isinstance(source, Shard) or self._left(source)]
        self._grow(len(todo))
        return todo

    @contextmanager
    def show_progress(self, progress: Callable[[int], Progress] | None) -> Iterator[None]:
        """Show how far it is, until the block ends."""
        if progress is None:
            yield
            return
        self.bar = progress(self.summary.missing)
        try:
            yield
        finally:
            self.bar.close()

    def items(self, todo: Iterable[Item | Shard]) -> Iterator[tuple[Item, Sequence[Model]]]:
        """Each file, those in archives too, and the models that have not judged it."""
        for source in todo:
            if isinstance(source, Item):
                yield source, self._missing(source)
                continue
            self._grow(-1)  # the archive itself
            for item in source.items(self.summary.add_left_out):
                if models := self._left(item):
                    self._grow(1)
                    yield item, models

    def _missing(self, item: Item) -> list[Model]:
        key = path_cell(item.name)
        return [m for m in self.models if (key, m.name, m.sha256) not in self.table.done]

    def _left(self, item: Item) -> list[Model]:
        """The models that have not judged a file; where all have, it is counted."""
        models = self._missing(item)
        if not models:
            first = self.models[0]
            self.summary.earlier += 1
            status = self.table.done[path_cell(item.name), first.name, first.sha256]
            self.summary.counts[status] += 1
        return models

    def _grow(self, by: int) -> None:
        self.summary.missing += by
        if self.bar is not None:  # a bar with nothing to do yet is false
            self.bar.total = (self.bar.total or 0) + by

    def done(self, item: Item, outcome: Outcome) -> None:
        """The rows of a file are in the table."""
        self.summary.missing -= 1
        self.summary.counts[outcome.status] += 1
        if outcome.error:
            self.summary.add_unreadable(outcome.error, item.name)
        if self.bar is not None:
            self.bar.update(1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of some bytes, under whatever name: rows without a path, a sentence."""

    status: Status
    rows: tuple[Row, ...]
    error: str | None


class _Judge:
    """Bytes -> outcome, in any thread; the same bytes once."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._known: dict[tuple[bytes, tuple[str, ...]], Future[Outcome]] = {}
        self._lock = threading.Lock()

    def __call__(self, item: Item, models: Sequence[Model]) -> Future[Outcome]:
        """The outcome, which another thread may still be at work on."""
        names = tuple(model.name for model in models)
        try:
            data = item.read()
        except ImageError as error:
            failed: Future[Outcome] = Future()
            nothing = [Row("", Status.UNREADABLE, m.name, 0, None, None, m.sha256) for m in models]
            failed.set_result(Outcome(Status.UNREADABLE, tuple(nothing), str(error)))
            return failed
        key = hashlib.sha256(data).digest(), names
        with self._lock:
            known = self._known.get(key)
            if known:
                return known
            mine = self._known[key] = Future()
            if len(self._known) > _KNOWN:
                self._known.pop(next(iter(self._known)))
        try:
            mine.set_result(judge_bytes(data, models, self._detector))
        except BaseException as error:
            mine.set_exception(error)
        return mine


def judge_bytes(data: bytes, models: Sequence[Model], detector: Detector) -> Outcome:
    """The outcome of a file that was read."""
    found = read_or_report(lambda: data, "", [model.name for model in models])
    if not isinstance(found, Analysis):
        # What the file says of its own origin is no part of the table.
        found = analyse(found, models=models, detector=detector, stability="near", provenance=False)
    weights = {model.name: model.sha256 for model in models}
    return Outcome(found.status, tuple(rows(found, weights)), found.error)


def _ahead(
    judge: _Judge, items: Iterable[tuple[Item, Sequence[Model]]], threads: int
) -> Generator[tuple[Item, Outcome]]:
    """Items and what becomes of them, in order; some are begun before they are asked for."""
    with ThreadPoolExecutor(threads) as pool:
        begun: deque[tuple[Item, Future[Future[Outcome]]]] = deque()
        try:
            for item, models in items:
                begun.append((item, pool.submit(judge, item, models)))
                if len(begun) > 2 * threads:
                    first, judged = begun.popleft()
                    yield first, judged.result().result()
            while begun:
                first, judged = begun.popleft()
                yield first, judged.result().result()
        finally:
            pool.shutdown(cancel_futures=True)
