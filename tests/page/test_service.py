"""What all requests share is loaded once; on ZeroGPU before its processes are forked."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fakeface import faces
from fakeface.images.decoder import read_picture
from fakeface.models import checkpoints
from fakeface.page import service
from fakeface.types import CheckpointError, CheckpointMissing
from tests.conftest import card, random_network

ROOT = Path(__file__).resolve().parents[2]

# What the package of that name does on ZeroGPU, as far as a page can tell: each call runs in a
# forked process, whose memory is gone when it ends.
SPACES = """
import functools, os, pickle, sys
assert "torch" not in sys.modules, "spaces has to come first"

def GPU(function):
    @functools.wraps(function)
    def lent(*args, **options):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            with os.fdopen(writer, "wb") as out:
                pickle.dump(function(*args, **options), out)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as answer:
            result = pickle.load(answer)
        os.waitpid(child, 0)
        return result
    return lent
"""

# Notes which process loads what, then judges twice.
PROGRAM = """
import gc, os, sys
gc.disable()  # it starts sooner
from pathlib import Path
from fakeface.page import service
from fakeface import faces
import fakeface.faces.detector
from fakeface.images.decoder import read_picture
from fakeface.models import checkpoints

def noted(name, load):
    def loaded(*args):
        print(name, *args, "here" if os.getpid() == main else "forked", flush=True)
        return load(*args)
    return loaded

main = os.getpid()
service._model = service.functools.cache(noted("model", checkpoints.load))
faces.detector.open_detector = noted("detector", faces.detector.open_detector)
picture = read_picture(Path(sys.argv[1]).read_bytes())
service.prepare(Path(sys.argv[1]))
for name in ("first", "second"):
    assert service.judge(picture, [name], stability=False).models == (name,)
print("explain", "fakeface.explain" in sys.modules)
"""


@pytest.fixture
def two_models(tmp_path: Path) -> Path:
    root = tmp_path / "two"
    for name in ("first", "second"):
        checkpoints.save(root / name, random_network("mobilenetv2_100"), card(name))
    return root


def test_a_forked_process_loads_nothing_anew(
    two_models: Path, tmp_path: Path, portrait: bytes
) -> None:
    (tmp_path / "spaces.py").write_text(SPACES)
    (tmp_path / "portrait.jpg").write_bytes(portrait)
    ours = {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
        "FAKEFACE_CHECKPOINTS": str(two_models),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "portrait.jpg")]
    done = subprocess.run(
        command, env=os.environ | ours, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split("\n")[:-1]
    assert lines == ["model first here", "detector here", "model second here", "explain True"]


def test_nothing_is_borrowed_where_nothing_is_lent() -> None:
    assert service.spaces is None
    assert service.borrow_gpu(len) is len


def test_a_gpu_is_borrowed_where_it_is_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    class Spaces:
        @staticmethod
        def GPU(function: object) -> tuple[str, object]:  # noqa: N802
            return "lent", function

    monkeypatch.setattr(service, "spaces", Spaces)
    assert service.borrow_gpu(len) == ("lent", len)


def test_models_and_the_detector_are_loaded_once(
    untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def load(name: str) -> str:
        loaded.append(name)
        return name

    monkeypatch.setattr(service, "_model", service.functools.cache(load))
    monkeypatch.setattr(service, "_detector", faces.DetectorSource())
    begun = threading.Barrier(4)

    def ask(_: int) -> tuple[list[object], object]:
        begun.wait(30)
        return service.load_tools("", "untrained")

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert loaded == ["untrained"]
    assert {id(detector) for _, detector in answers} == {id(answers[0][1])}


def test_a_model_that_failed_is_tried_again(untrained: Path) -> None:
    weights = untrained / "untrained" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole + b"\n")
    with pytest.raises(CheckpointError):
        service.load_tools()
    weights.write_bytes(whole)
    ((model,), _) = service.load_tools()
    assert model.name == "untrained"


def test_everything_is_loaded_but_what_is_damaged(
    two_models: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FAKEFACE_CHECKPOINTS", str(two_models))
    (two_models / "first" / "model.safetensors").write_bytes(b"damaged")
    service.load_everything()
    assert "checksum" in caplog.text
    assert service._model.cache_info().currsize == 1


def test_without_a_model_there_is_nothing_to_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portrait: bytes
) -> None:
    monkeypatch.setenv("FAKEFACE_CHECKPOINTS", str(tmp_path))
    service.load_everything()
    with pytest.raises(CheckpointMissing):
        service.load_tools()
    with pytest.raises(CheckpointMissing):
        service.judge(read_picture(portrait), [""])


def test_the_first_picture_is_judged_ahead(
    untrained: Path,
    tmp_path: Path,
    portrait: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "portrait.jpg"
    path.write_bytes(portrait)
    before = set(threading.enumerate())
    service.prepare(path)
    for thread in set(threading.enumerate()) - before:
        thread.join()
    assert service._model.cache_info().currsize == 1
    assert not caplog.records
    service._judge_example(tmp_path / "nothing.jpg")
    assert "nothing.jpg" in caplog.text
