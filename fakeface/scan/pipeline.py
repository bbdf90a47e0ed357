"""The files of some sources -> rows of a table."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

from fakeface.analysis import analyse, read_or_report
from fakeface.batch import Item
from fakeface.faces import Detector
from fakeface.models.batching import MergedModel
from fakeface.models.engine import Model
from fakeface.scan.rows import Row, path_cell, rows
from fakeface.scan.shards import Shard
from fakeface.scan.sources import find
from fakeface.scan.summary import Summary
from fakeface.scan.table import Table
from fakeface.types import Analysis, ImageError, Status

KNOWN = 100_000  # pictures that are remembered, to judge the same bytes once

Done: TypeAlias = Mapping[tuple[str, str, str], Status]  # by path, model and its weights
Key: TypeAlias = tuple[bytes, tuple[str, ...]]  # sha256 of a file, and by which models it is judged


class Judging(Protocol):
    """What a row names of a model: a `Model`, or the card of one that is elsewhere."""

    @property
    def name(self) -> str:
        """Of the model."""
        ...

    @property
    def sha256(self) -> str:
        """Of its weights."""
        ...


class Rows(Protocol):
    """What a `Table` is here: rows that are there, and those that are added."""

    @property
    def done(self) -> Done:
        """What is there."""
        ...

    def append(self, rows: Iterable[Row]) -> None:
        """Add the rows of some files."""
        ...


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
        work = Work[Model](table, [MergedModel(model) for model in models], summary)
        todo = work.todo(found)
        with work.show_progress(progress):
            judge_all(work, todo, Judge(detector), threads)
    return summary


M = TypeVar("M", bound=Judging)


class Work(Generic[M]):
    """What is left to do, and what became of the rest."""

    def __init__(self, table: Rows, models: Sequence[M], summary: Summary) -> None:
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

    def items(self, todo: Iterable[Item | Shard]) -> Iterator[tuple[Item, Sequence[M]]]:
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

    def _missing(self, item: Item) -> list[M]:
        key = path_cell(item.name)
        return [m for m in self.models if (key, m.name, m.sha256) not in self.table.done]

    def _left(self, item: Item) -> list[M]:
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

    def finish(self, item: Item, outcome: Outcome) -> None:
        """Write the rows of a file."""
        self.table.append(row._replace(path=path_cell(item.name)) for row in outcome.rows)
        self.summary.counts[outcome.status] += 1
        if outcome.error:
            self.summary.add_unreadable(outcome.error, item.name)
        self._move(1)

    def take_over(self, sources: int, rows: Iterable[Row], summary: Summary) -> None:
        """Write the rows of some sources that were judged elsewhere."""
        self.table.append(rows)
        self.summary.add(summary)
        files = summary.counts.total() - summary.earlier
        self._grow(files - sources)  # those in archives
        self._move(files)

    def _move(self, files: int) -> None:
        self.summary.missing -= files
        if self.bar is not None:
            self.bar.update(files)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of some bytes, under whatever name: rows without a path, a sentence."""

    status: Status
    rows: tuple[Row, ...]
    error: str | None


class Judge:
    """Bytes -> outcome, in any thread; the same bytes once."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        # A finished future would be five times as large as what it holds.
        self._known: dict[Key, Outcome | Future[Outcome]] = {}
        self._lock = threading.Lock()

    def __call__(self, item: Item, models: Sequence[Model]) -> Future[Outcome]:
        """The outcome, which another thread may still be at work on."""
        names = tuple(model.name for model in models)
        mine: Future[Outcome] = Future()
        try:
            data = item.read()
        except ImageError as error:
            nothing = [Row("", Status.UNREADABLE, m.name, 0, None, None, m.sha256) for m in models]
            mine.set_result(Outcome(Status.UNREADABLE, tuple(nothing), str(error)))
            return mine
        key = hashlib.sha256(data).digest(), names
        with self._lock:
            known = self._known.setdefault(key, mine)
            if len(self._known) > KNOWN:
                self._known.pop(next(iter(self._known)))
        if isinstance(known, Outcome):
            mine.set_result(known)
            return mine
        if known is not mine:
            return known
        try:
            outcome = self.judge(key, data, models)
        except BaseException as error:
            mine.set_exception(error)
            return mine
        with self._lock:
            if key in self._known:
                self._known[key] = outcome
        mine.set_result(outcome)
        return mine

    def judge(self, key: Key, data: bytes, models: Sequence[Model]) -> Outcome:
        """The outcome of bytes that were not seen before."""
        return judge_bytes(data, models, self.detector)


def judge_all(work: Work[Model], todo: Iterable[Item | Shard], judge: Judge, threads: int) -> None:
    """Judge what is to do, and write each file's rows in the order in which they are found."""
    with closing(_ahead(judge, work.items(todo), threads)) as judged:
        for item, outcome in judged:
            work.finish(item, outcome)


def judge_bytes(data: bytes, models: Sequence[Model], detector: Detector) -> Outcome:
    """The outcome of a file that was read."""
    found = read_or_report(lambda: data, "", [model.name for model in models])
    if not isinstance(found, Analysis):
        # What the file says of its own origin is no part of the table.
        found = analyse(found, models=models, detector=detector, stability="near", provenance=False)
    weights = {model.name: model.sha256 for model in models}
    return Outcome(found.status, tuple(rows(found, weights)), found.error)


def _ahead(
    judge: Judge, items: Iterable[tuple[Item, Sequence[Model]]], threads: int
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
