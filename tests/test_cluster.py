"""A scan on a Ray cluster of several nodes, all on this machine: the rows of a scan without one."""

from __future__ import annotations

import asyncio
import csv
import dataclasses
import os
import shutil
import signal
import socket
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image

import fakeface
from fakeface.batch import Item
from fakeface.cli import main
from fakeface.faces import Haar
from fakeface.models import checkpoints
from fakeface.scan import cluster, pipeline
from fakeface.scan.cluster import Cluster, ClusterError
from fakeface.scan.pipeline import Outcome
from fakeface.scan.shards import Shard
from fakeface.scan.summary import Group, Summary
from fakeface.scan.table import Table
from fakeface.types import Status
from tests.test_scan import tiny

# Ray's own: its settings set old ones, and processes that it started are its to wait for.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),
    pytest.mark.filterwarnings("ignore:subprocess \\d+ is still running:ResourceWarning"),
]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[checkpoints.Card]:
    """Two models on disk, the first of which gives each face a logit of its own."""
    root = tmp_path / "models"
    monkeypatch.setenv("FAKEFACE_CHECKPOINTS", str(root))
    cards = []
    for name in "ab":
        model = tiny(name, -1.0, "")
        if name == "a":
            torch.manual_seed(0)
            torch.nn.init.normal_(model.head.weight, std=0.05)  # type: ignore[arg-type]
        cards.append(checkpoints.save(root / name, model.network, model.card))
    return cards


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty portraits, each turned by another angle."""
    folder = tmp_path_factory.mktemp("turned")
    with Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)) as image:
        small = image.resize((256, 300))
    for i in range(20):
        small.rotate(i / 2, fillcolor="white").save(folder / f"{i:02}.png")
    return folder


@pytest.fixture
def photos(turned: Path, tmp_path: Path) -> Path:
    """A copy of them."""
    return Path(shutil.copytree(turned, tmp_path / "photos"))


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A head that only keeps order, and two nodes of one processor."""
    pytest.importorskip("ray", reason=f"needs the package ray: {cluster.INSTALL}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(fakeface.__file__).parents[1]))  # as if installed
        try:
            started = start_nodes()
        except Exception:  # Ray's, which gives a node 30 seconds: few on a busy machine
            started = start_nodes()
        yield started
        started.shutdown()


def start_nodes() -> Any:
    cluster._import_ray()
    from ray.cluster_utils import Cluster as Nodes

    nodes = Nodes()
    try:
        nodes.add_node(num_cpus=0, include_dashboard=False)
        for _ in range(2):
            nodes.add_node(num_cpus=1)
    except BaseException:
        nodes.shutdown()
        raise
    return nodes


def read(table: Path) -> dict[tuple[str, str], dict[str, str]]:
    """The rows of a table by path and model; each is there once."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = {(row["path"], row["model"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def assert_same_rows(one: Path, other: Path) -> None:
    ours, theirs = read(one), read(other)
    assert ours.keys() == theirs.keys()
    for key, row in ours.items():
        p_fake, wanted = row.pop("p_fake"), theirs[key].pop("p_fake")
        assert row == theirs[key]
        # A face's logit depends a little on those that are judged in the same run.
        assert float(p_fake or -1) == pytest.approx(float(wanted or -1), abs=2e-4)


@pytest.mark.system
def test_a_cluster_goes_on_with_a_table_and_writes_the_rows_of_one_machine(
    nodes: Any, models: list[checkpoints.Card], photos: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    odd = os.fsdecode(b"photos/latin1 \xe9.png")
    Path(odd).write_bytes((photos / "00.png").read_bytes())
    (photos / "broken.jpg").write_bytes(b"not a picture")
    Image.new("RGB", (80, 80)).save(photos / "plain.png")
    with tarfile.open(photos / "shard.tar", "w") as archive:
        for name in ("03.png", "broken.jpg", "plain.png"):
            archive.add(photos / name, name)
        archive.addfile(tarfile.TarInfo("label.json"))
    stored = tmp_path / "stored"
    stored.mkdir()
    (photos / "19.png").rename(stored / "19.png")
    sources = ["photos", f"file://{stored}", "photos/absent.jpg"]
    arguments = [*sources, "--model", "a", "--model", "b", "--detector", "haar", "--device", "cpu"]
    assert main(["scan", *arguments, "--out", "here.csv"]) == 0
    # What a scan that was killed left: a part of the files, some of a shard, some by one model.
    lines = Path("here.csv").read_bytes().splitlines(keepends=True)
    Path("there.csv").write_bytes(b"".join(lines[:10] + lines[-9:-6]))
    earlier = Path("there.csv").read_bytes()
    capfd.readouterr()
    on_cluster = ["--engine", "ray", "--address", nodes.address, "--cpus", "1"]
    assert main(["scan", *arguments, *on_cluster, "--out", "there.csv"]) == 0
    assert_same_rows(Path("here.csv"), Path("there.csv"))
    assert Path("there.csv").read_bytes().startswith(earlier)
    out, err = capfd.readouterr()
    assert out.startswith("27 files: 22 with faces, 2 without a face, 3 unreadable; ")
    assert "label.json" in out  # what a shard leaves out is told from there
    assert all("%|" in line for line in err.splitlines()), err  # progress, and nothing of Ray's


class Bar:
    """Calls a function at its n-th move."""

    def __init__(self, events: dict[int, Callable[[], None]]) -> None:
        self.events, self.moves, self.total = events, 0, 0.0

    def __call__(self, total: float) -> Bar:
        self.total = total
        return self

    def update(self, n: float | None = 1) -> None:
        self.moves += 1
        self.events.pop(self.moves, lambda: None)()

    def close(self) -> None:
        assert not self.events


def workers(node: Any) -> list[psutil.Process]:
    """The processes of a node that hold the models."""
    raylet = node.all_processes["raylet"][0].process.pid
    return [p for p in psutil.Process(raylet).children() if "MapWorker" in " ".join(p.cmdline())]


@pytest.mark.system
def test_neither_a_killed_actor_nor_a_lost_machine_costs_or_doubles_a_row(
    nodes: Any, models: list[checkpoints.Card], photos: Path, tmp_path: Path
) -> None:
    first, second = nodes.worker_nodes

    def kill_actor() -> None:
        (actor,) = workers(first)
        actor.send_signal(signal.SIGKILL)
        actor.wait(10)

    bar = Bar({1: kill_actor, 3: lambda: nodes.remove_node(second, allow_graceful=False)})
    where = Cluster(address=nodes.address, detector="haar", device="cpu")
    table = Table(tmp_path / "there.csv")
    summary = cluster.scan([str(photos)], table, models=models, cluster=where, progress=bar)
    assert summary.counts == {Status.OK: 20} and not summary.missing
    ready = [checkpoints.load(card.name, device="cpu") for card in models]
    pipeline.scan([str(photos)], Table(tmp_path / "here.csv"), models=ready, detector=Haar())
    assert_same_rows(tmp_path / "here.csv", tmp_path / "there.csv")


# -- without a cluster ----------------------------------------------------------------------------


def test_without_ray_the_sentence_says_what_to_install(
    models: list[checkpoints.Card], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["scan", str(tmp_path), "--engine", "ray", "--out", str(tmp_path / "x.csv")]) == 2
    assert capsys.readouterr().err == (
        "fakeface: The engine ray needs the package ray; run `pip install 'ray[data]>=2.60,<3'`.\n"
    )
    assert not (tmp_path / "x.csv").exists()


def test_what_is_to_install_is_what_the_requirements_say() -> None:
    root = Path(fakeface.__file__).parents[1]
    (line,) = (root / "requirements-ray.txt").read_text(encoding="utf-8").splitlines()[1:]
    assert f"pip install '{line}'" == cluster.INSTALL


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1", "127.0.0.1:99999"])
def test_an_address_where_no_cluster_is_says_so_at_once(
    models: list[checkpoints.Card], photos: Path, tmp_path: Path, address: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    pytest.importorskip("ray", reason=f"needs the package ray: {cluster.INSTALL}")
    out = tmp_path / "x.csv"
    arguments = ["scan", str(photos), "--engine", "ray", "--address", address, "--out", str(out)]
    assert main(arguments) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"fakeface: There is no Ray cluster at {address} that this process can")
    assert said.endswith("20 files are not in the table; run the same command again to go on.")


def a_ray(*nodes: dict[str, float]) -> Any:
    """What `_room` asks of Ray, of machines with these resources."""
    names = {name for node in nodes for name in node}
    room = {name: sum(node.get(name, 0.0) for node in nodes) for name in names}
    return SimpleNamespace(
        cluster_resources=lambda: room, nodes=lambda: [{"Resources": node} for node in nodes]
    )


@pytest.mark.parametrize(
    ("nodes", "asked", "expected"),
    [
        ([{"CPU": 4.0}, {"CPU": 3.0}], Cluster(), ("cpu", 1, 7)),
        ([{"CPU": 4.0}, {"CPU": 3.0}], Cluster(cpus=2), ("cpu", 2, 3)),
        ([{"CPU": 4.0}], Cluster(actors=9), ("cpu", 1, 9)),
        ([{}], Cluster(actors=9), ("cpu", 1, 9)),  # machines that are yet to come
        ([{"CPU": 16.0, "GPU": 2.0}, {"CPU": 2.0}], Cluster(), ("cuda", 9, 2)),
        ([{"CPU": 16.0, "GPU": 2.0}], Cluster(device="cpu", cpus=4), ("cpu", 4, 4)),
        ([{"CPU": 4.0}], Cluster(device="cuda"), "No machine of this cluster has a GPU"),
        ([{"CPU": 4.0}], Cluster(cpus=5), "An actor of 5 processors fits no machine"),
    ],
)
def test_how_many_actors_there_are(
    nodes: list[dict[str, float]], asked: Cluster, expected: tuple[str, int, int] | str
) -> None:
    if isinstance(expected, str):
        with pytest.raises(ClusterError, match=expected):
            cluster._room(a_ray(*nodes), asked)
    else:
        assert cluster._room(a_ray(*nodes), asked) == expected


def nothing(left_out: object) -> Iterator[Item]:
    yield from ()


def test_an_archive_is_a_group_and_takes_along_what_is_done_of_it() -> None:
    files = [Item(f"{i}.jpg", bytes) for i in range(5)]
    shards = [Shard("=x.tar", nothing), Shard("deep/x.tar", nothing)]
    done = {
        (path, "a", "aa"): Status.OK
        for path in ("1.jpg", "./=x.tar/in/a.jpg", "deep/x.tar/b.jpg", "deep/c.jpg", "gone.jpg")
    }
    orders = list(cluster._orders([*files[:3], *shards, *files[3:]], done, 2))
    assert [([s.name for s in order.sources], [path for path, *_ in order.done])
            for order in orders] == [
        (["=x.tar"], ["./=x.tar/in/a.jpg"]),
        (["deep/x.tar"], ["deep/x.tar/b.jpg"]),
        (["0.jpg", "1.jpg"], ["1.jpg"]),
        (["2.jpg", "3.jpg"], []),
        (["4.jpg"], []),
    ]  # fmt: skip


KEY = (b"sha256", ("a",))
FOUND = Outcome(Status.NO_FACE, (), None)


def test_the_same_bytes_wait_for_the_first_who_judges_them() -> None:
    async def play() -> None:
        known = cluster._Known()
        assert await known.ask(KEY, "first") is None
        assert await known.ask(KEY, "first") is None  # it was restarted
        second = asyncio.create_task(known.ask(KEY, "second"))
        await asyncio.sleep(0)
        assert not second.done()
        await known.tell(KEY, FOUND)
        assert await second == await known.ask(KEY, "first") == FOUND

    asyncio.run(play())


def test_nobody_waits_for_long_and_the_oldest_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play() -> None:
        known = cluster._Known()
        assert await known.ask(KEY, "first") is None
        assert await known.ask(KEY, "second") is None  # the first does not answer
        await known.tell(KEY, FOUND)
        assert await known.ask(KEY, "third") == FOUND
        for i in range(3):
            await known.ask((bytes([i]), ("a",)), "first")
        assert await known.ask(KEY, "third") is None

    monkeypatch.setattr(cluster, "_PATIENCE", 0.01)
    monkeypatch.setattr(cluster, "KNOWN", 3)
    asyncio.run(play())


def test_two_actors_judge_the_same_bytes_once(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = []
    real = pipeline.judge_bytes

    def judge_bytes(data: bytes, *rest: Any) -> Outcome:
        judged.append(data)
        return real(data, *rest)

    monkeypatch.setattr(pipeline, "judge_bytes", judge_bytes)
    known, model, outcomes = cluster._Known(), tiny("a", 1.0, "aa"), []
    with asyncio.Runner() as runner:
        handle = SimpleNamespace(
            ask=SimpleNamespace(remote=lambda *args: runner.run(known.ask(*args))),
            tell=SimpleNamespace(remote=lambda *args: runner.run(known.tell(*args))),
        )
        for actor in "12":
            context = SimpleNamespace(get_actor_id=lambda actor=actor: actor)
            ray = SimpleNamespace(get=lambda value: value, get_runtime_context=lambda c=context: c)
            monkeypatch.setitem(sys.modules, "ray", ray)
            judge = cluster._SharedJudge(Haar(), [handle])
            item = Item("a.png", (photos / "00.png").read_bytes)
            outcomes.append(judge(item, [model]).result())
    assert len(judged) == 1
    assert outcomes[0] == outcomes[1] and outcomes[0].status is Status.OK


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"witness": "/absent/a.jpg"}, "/absent/a.jpg is not there; put the files where every"),
        ({"weights": {"a": "0" * 64}}, "The model 'a' has other weights; install the same"),
        ({"weights": {"c": "0" * 64}}, "There is no model 'c'"),
        pytest.param(
            {"device": "cuda"}, "no usable GPU here",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
    ],
)  # fmt: skip
def test_what_a_machine_lacks_is_a_sentence_that_names_it(
    models: list[checkpoints.Card], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    plan = cluster._Plan(
        weights={card.name: card.sha256 for card in models}, root=tmp_path / "models",
        detector="haar", device="cpu", cpus=1, threads=1, folder=Path.cwd(), witness=None,
        settings={}, known=[],
    )  # fmt: skip
    actor = cluster._Actor(dataclasses.replace(plan, **change))
    (answer,) = actor({"order": [cluster._Order((Item("a.jpg", bytes),), {})]})["answer"]
    assert answer.problem.startswith(f"On the machine {socket.gethostname()}: ")
    assert said in answer.problem and not answer.rows


def test_summaries_of_groups_add_up() -> None:
    whole, part = Summary(missing=3), Summary(earlier=1)
    for name in "ab":
        whole.add_unreadable("This is empty.", name)
    for name in "cde":
        part.add_unreadable("This is empty.", name)
    part.add_left_out("This is hidden.", ".x")
    part.counts[Status.UNREADABLE] = 4
    whole.add(part)
    assert whole == Summary(
        counts=Counter({Status.UNREADABLE: 4}), earlier=1, missing=3,
        unreadable={"This is empty.": Group(5, ["a", "b", "c"])},
        left_out={"This is hidden.": Group(1, [".x"])},
    )  # fmt: skip
