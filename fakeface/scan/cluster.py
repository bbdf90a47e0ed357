"""`pipeline.scan` on the machines of a Ray cluster: the same rows, in another order.

This process finds the files, hands them out in small groups, and writes the table, so that a scan
that was stopped goes on as any other. Ray Data keeps a pool of actors at work. Each has the models,
and does with a group what `pipeline.scan` does with all files. Where an actor or its machine is
lost, its groups are judged by another.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import torch

from fakeface.batch import Item
from fakeface.faces import Detector, open_detector
from fakeface.models import checkpoints
from fakeface.models.batching import MergedModel
from fakeface.models.card import Card
from fakeface.models.engine import Model
from fakeface.scan.pipeline import (
    KNOWN,
    Done,
    Judge,
    Key,
    Outcome,
    Progress,
    Work,
    judge_all,
)
from fakeface.scan.rows import Row, path_cell
from fakeface.scan.shards import Shard
from fakeface.scan.sources import find
from fakeface.scan.summary import Summary
from fakeface.scan.table import Table
from fakeface.types import FakefaceError

INSTALL: Final = "pip install 'ray[data]>=2.60,<3'"
_GROUP: Final = 32  # files that an actor is given at a time, and that are written together
_SERVED: Final = 32  # actors for each that tells what is known: it takes 1.2 ms a file, they 50
_PATIENCE: Final = 60.0  # seconds to wait for what another actor makes of the same bytes


class ClusterError(FakefaceError):
    """The cluster cannot be reached, or cannot do what it is asked for."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where a scan runs, and in what parts.

    Attributes:
        address: of a Ray cluster, as HOST:PORT; None for that of RAY_ADDRESS, else one is started
            on this machine.
        actors: how many; None for as many as there is room for now.
        cpus: processors of one actor; None for one, or of an actor with a GPU for its share.
        threads: files at a time in one actor; None for one more than its processors.
        device: "cpu", or "cuda" for actors with a GPU each; None for GPUs where there are any.
        detector: as for `fakeface.faces.open_detector`.
    """

    address: str | None = None
    actors: int | None = None
    cpus: int | None = None
    threads: int | None = None
    device: str | None = None
    detector: str | None = None


@dataclass(frozen=True, slots=True)
class _Order:
    """What an actor is given at a time: some sources, and their rows that the table has already."""

    sources: tuple[Item | Shard, ...]
    done: Done


@dataclass(slots=True)
class _Answer:
    """The rows of an order, to which an actor adds as to a `Table`; or the problem it has."""

    done: Done = field(default_factory=dict)
    sources: int = 0
    rows: list[Row] = field(default_factory=list)
    summary: Summary = field(default_factory=Summary)
    problem: str = ""

    def append(self, rows: Iterable[Row]) -> None:
        """See `pipeline.Rows`."""
        self.rows += rows


@dataclass(frozen=True, slots=True)
class _Plan:
    """What every actor has to know.

    Attributes:
        weights: model -> sha256 of its weights.
        root: the folder of models.
        detector, device, cpus, threads: see `Cluster`.
        folder: where relative paths begin.
        witness: a path that must be there, as on the machine that found the files; None where all
            of them are at addresses.
        settings: the environment variables FAKEFACE_*.
        known: the handles of some `_Known`, each for a part of the hashes.
    """

    weights: Mapping[str, str]
    root: Path
    detector: str | None
    device: str
    cpus: int
    threads: int
    folder: Path
    witness: str | None
    settings: Mapping[str, str]
    known: Sequence[Any]


def scan(
    sources: Iterable[str],
    table: Table,
    *,
    models: Sequence[Card],
    cluster: Cluster,
    progress: Callable[[int], Progress] | None = None,
    summary: Summary | None = None,
) -> Summary:
    """What `pipeline.scan` does, by the actors of a Ray cluster.

    The rows of a group of files, or of an archive, are written together, as soon as all of them are
    judged. Every machine needs this package with the same models, and the files under the same
    paths, or at addresses.

    Args:
        sources, table, progress, summary: as for `pipeline.scan`.
        models: the cards of at least one.
        cluster: where and how.

    Raises:
        SourceError, TableError: as in `pipeline.scan`.
        ClusterError: Ray is not installed, or the cluster cannot do it; what was written stays.
    """
    summary = summary or Summary()
    ray = _import_ray()
    found = list(find(sources, skip=table.files, left_out=summary.add_left_out))
    with table:
        work = Work(table, models, summary)
        todo = work.todo(found)
        if not todo:
            return summary
        with (
            work.show_progress(progress),
            closing(_answers(ray, todo, table.done, models, cluster)) as answers,
        ):
            for answer in answers:
                work.take_over(answer.sources, answer.rows, answer.summary)
    return summary


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to its maker
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else it writes to standard error
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ClusterError(f"The engine ray needs the package ray; run `{INSTALL}`.") from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL + 1)  # what fails is raised, too
    return ray


def _answers(
    ray: Any, todo: Sequence[Item | Shard], done: Done, models: Sequence[Card], cluster: Cluster
) -> Generator[_Answer]:
    """What the actors make of the sources, group by group, in any order."""
    with _connected(ray, cluster.address):
        device, cpus, actors = _room(ray, cluster)
        orders = list(_orders(todo, done, min(_GROUP, -(-len(todo) // (4 * actors)))))
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        known = ray.remote(num_cpus=0)(_Known).options(scheduling_strategy=here)
        plan = _Plan(
            weights={model.name: model.sha256 for model in models},
            root=checkpoints.checkpoints_root().absolute(),
            detector=cluster.detector,
            device=device,
            cpus=cpus,
            threads=cluster.threads or cpus + 1,
            folder=Path.cwd(),
            witness=next(filter(os.path.lexists, (source.name for source in todo)), None),
            settings={k: v for k, v in os.environ.items() if k.startswith("FAKEFACE_")},
            known=[known.remote() for _ in range(1 + actors // _SERVED)],
        )
        most = min(actors, len(orders))
        judged = ray.data.from_items(
            [{"order": order} for order in orders], override_num_blocks=len(orders)
        ).map_batches(
            _Actor,
            fn_constructor_args=(plan,),
            batch_size=1,
            batch_format="numpy",
            num_cpus=cpus,
            num_gpus=1 if device == "cuda" else 0,
            # Not at least so many: one that a lost machine leaves no room for would be waited for.
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most, initial_size=most),
        )
        for batch in judged.iter_batches(batch_size=None, prefetch_batches=0, batch_format="numpy"):
            for answer in batch["answer"]:
                if answer.problem:
                    raise ClusterError(answer.problem)
                yield answer


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """Join a cluster, or start one here, unless this process belongs to one already."""
    mine = not ray.is_initialized()
    if mine:
        _join(ray, address or os.environ.get("RAY_ADDRESS"))
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = context.print_on_execution_start = False
    try:
        with ray.data.DataContext.current(context):
            yield
    except ray.exceptions.RayError as error:
        raise ClusterError(f"The Ray cluster gave up ({_last_line(error)}).") from error
    finally:
        if mine:
            ray.shutdown()


def _join(ray: Any, address: str | None) -> None:
    try:
        if address not in (None, "auto", "local"):
            host, _, port = address.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=10):
                pass  # Ray itself would try for minutes
        with _silence():  # it tells its own level of logging
            ray.init(
                address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
            )
    except Exception as error:  # Ray raises all kinds, bare ones too
        where = f"at {address}" if address else "on this machine"
        raise ClusterError(
            f"There is no Ray cluster {where} that this process can join ({_last_line(error)})."
        ) from error


def _last_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[-1].strip().rstrip(".")


@contextmanager
def _silence() -> Iterator[None]:
    """Let nothing come out of standard error, also of what is not Python."""
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _room(ray: Any, cluster: Cluster) -> tuple[str, int, int]:
    """The device, the processors of one actor, and how many actors there are to be."""
    room = ray.cluster_resources()
    all_cpus, gpus = int(room.get("CPU", 0)), int(room.get("GPU", 0))
    device = cluster.device or ("cuda" if gpus else "cpu")
    if device == "cpu":
        gpus = 0
    elif not gpus and not cluster.actors:
        raise ClusterError("No machine of this cluster has a GPU; use --device cpu.")
    cpus = cluster.cpus or max(1, all_cpus // gpus if gpus else 1)
    largest = max((int(node["Resources"].get("CPU", 0)) for node in ray.nodes()), default=0)
    if cpus > largest and not cluster.actors:
        raise ClusterError(
            f"An actor of {cpus} processors fits no machine of this cluster; the largest has "
            f"{largest}."
        )
    return device, cpus, cluster.actors or max(1, gpus or all_cpus // cpus)


def _orders(todo: Iterable[Item | Shard], done: Done, size: int) -> Iterator[_Order]:
    """Groups of files, and each archive by itself, with what the table has of them."""
    names = {path_cell(source.name): source for source in todo}
    had: dict[str, dict[tuple[str, str, str], Any]] = {}
    for key, status in done.items():
        path = key[0]
        while path and path not in names:  # in an archive it is named ARCHIVE/NAME
            path = path.rpartition("/")[0]
        had.setdefault(path, {})[key] = status

    def order(sources: Sequence[Item | Shard]) -> _Order:
        rows = (had.get(path_cell(source.name), {}) for source in sources)
        return _Order(tuple(sources), {key: status for own in rows for key, status in own.items()})

    files = [source for source in todo if isinstance(source, Item)]
    yield from (order([source]) for source in todo if isinstance(source, Shard))
    yield from (order(files[i : i + size]) for i in range(0, len(files), size))


class _Actor:
    """Some processors, perhaps a GPU, and the models; Ray makes one, and calls it many times."""

    def __init__(self, plan: _Plan) -> None:
        self._threads, self._problem = plan.threads, ""
        os.environ.update(plan.settings)
        torch.set_num_threads(plan.cpus)
        cv2.setNumThreads(plan.cpus)
        with suppress(OSError):
            os.chdir(plan.folder)
        try:
            _check_machine(plan)
            self._models = [
                MergedModel(_load(name, sha256, plan)) for name, sha256 in plan.weights.items()
            ]
            self._judge = _SharedJudge(open_detector(plan.detector), plan.known)
        except FakefaceError as error:
            # Raised here, it would be tried again on every machine.
            self._problem = f"On the machine {socket.gethostname()}: {error}"

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Judge one order; both are columns with one cell, for Ray Data."""
        (order,) = batch["order"]
        answer = _Answer(order.done, len(order.sources), problem=self._problem)
        if not self._problem:
            work = Work[Model](answer, self._models, answer.summary)
            judge_all(work, work.todo(order.sources), self._judge, self._threads)
        answer.done = {}
        return {"answer": [answer]}


def _check_machine(plan: _Plan) -> None:
    if plan.device == "cuda" and not torch.cuda.is_available():
        raise ClusterError("There is no usable GPU here; use --device cpu.")
    if plan.witness is not None and not os.path.lexists(plan.witness):
        raise ClusterError(
            f"{plan.witness} is not there; put the files where every machine has them under the "
            "same path, or name them by an address (s3://, gs:// ...)."
        )


def _load(name: str, sha256: str, plan: _Plan) -> Model:
    model = checkpoints.load(name, root=plan.root, device=plan.device)
    if model.sha256 != sha256:
        raise ClusterError(f"The model {name!r} has other weights; install the same release.")
    return model


class _SharedJudge(Judge):
    """A judge that asks what the other actors know."""

    def __init__(self, detector: Detector, known: Sequence[Any]) -> None:
        import ray

        super().__init__(detector)
        self._ray, self._shared = ray, known
        self._me = ray.get_runtime_context().get_actor_id()  # the same after a restart

    def judge(self, key: Key, data: bytes, models: Sequence[Model]) -> Outcome:
        """See `Judge.judge`."""
        known = self._shared[key[0][0] % len(self._shared)]
        outcome: Outcome | None = self._ray.get(known.ask.remote(key, self._me))
        if outcome is None:
            outcome = super().judge(key, data, models)
            known.tell.remote(key, outcome)
        return outcome


class _Known:
    """What became of which bytes, for all actors; it is one itself, on the table's machine."""

    def __init__(self) -> None:
        self._outcomes: dict[Key, tuple[str, asyncio.Future[Outcome]]] = {}

    async def ask(self, key: Key, actor: str) -> Outcome | None:
        """The outcome of some bytes; None to whoever is to judge them.

        That is the first who asks, and those who waited for its answer in vain.
        """
        fresh = asyncio.get_running_loop().create_future()
        first, outcome = self._outcomes.setdefault(key, (actor, fresh))
        if len(self._outcomes) > KNOWN:
            self._outcomes.pop(next(iter(self._outcomes)))
        if first != actor:
            await asyncio.wait([outcome], timeout=_PATIENCE)
        return outcome.result() if outcome.done() else None

    async def tell(self, key: Key, outcome: Outcome) -> None:
        """The outcome of bytes that were judged."""
        if key in self._outcomes and not self._outcomes[key][1].done():
            self._outcomes[key][1].set_result(outcome)
