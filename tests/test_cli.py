"""The command line as a contract: its output, its exit status, and its one sentence on errors."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image

import fakeface
from fakeface import cli
from fakeface.models import checkpoints
from fakeface.models.backbones import build, parameters
from fakeface.models.calibrate import Calibration
from fakeface.models.preprocess import Preprocessing
from fakeface.report.text import NOTE
from fakeface.scan import pipeline
from tests.full_disk import fill_disk

HEADER = "path,status,model,faces,p_fake,verdict,weights,too_small"
TEST_AUC = {"value": 0.961, "low": 0.95, "high": 0.972}
SETS: dict[str, Any] = {
    "best": {"test": {"auc": TEST_AUC}, "val": {"auc": {"value": 0.97, "low": 0.96, "high": 0.98}}},
    "other": {"val": {"auc": {"value": 0.9, "low": 0.89, "high": 0.91}}},
}


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two models with random heads, the first with the better measurements."""
    root = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    network = build("mobilenetv2_100")
    for name, sets in SETS.items():
        torch.nn.init.normal_(network.get_submodule("classifier").weight, std=0.1)  # type: ignore[arg-type]
        card = checkpoints.Card(
            name=name,
            title=f"{name.title()} MobileNetV2",
            backbone="mobilenetv2_100",
            preprocessing=Preprocessing(96, 0.3, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
            calibration=Calibration(1.0, 0.3, 0.7),
            training={},
            metrics={"sets": sets},
            licence="Apache-2.0",
            terms="none",
            sha256="",
        )
        checkpoints.save(root / name, network, card)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAKEFACE_CHECKPOINTS", str(root))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield root


@pytest.fixture(scope="module")
def portrait() -> Path:
    """A photograph with one face, in the public domain."""
    return Path(get_sample_data("grace_hopper.jpg", asfileobj=False))


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.png"
    Image.fromarray(np.full((80, 100, 3), 200, np.uint8)).save(path)
    return path


@dataclass
class Outcome:
    status: int
    out: str
    err: str

    @property
    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


class Run:
    """Runs the command line in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *args: object) -> Outcome:
        status = cli.main([str(arg) for arg in args])
        return Outcome(status, *self.capsys.readouterr())

    def judge(self, *args: object) -> Outcome:
        return self("analyse", *args, "--detector", "haar", "--device", "cpu")

    def refuse(self, *args: object) -> str:
        """The one sentence about wrong usage."""
        outcome = self(*args)
        assert (outcome.status, outcome.out) == (2, "")
        sentence = outcome.err
        assert sentence.startswith("fakeface: ")
        assert sentence.endswith(".\n")
        assert sentence.count("\n") == 1
        return sentence


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys)


def test_json_of_a_face(run: Run, portrait: Path) -> None:
    outcome = run.judge(portrait, "--json", "--model", "other", "--model", "best")
    (found,) = outcome.json
    assert (outcome.status, outcome.err) == (0, "")
    assert found["file"] == str(portrait)
    assert found["status"] == "ok"
    assert found["error"] is None
    assert found["sha256"] == hashlib.sha256(portrait.read_bytes()).hexdigest()
    assert (found["width"], found["height"], found["detector"]) == (512, 600, "haar")
    (face,) = found["faces"]
    x, y, w, h = face["box"]
    assert 0 < x < 256 < x + w < 512
    assert 0 < y < y + h < 400
    assert list(face["models"]) == found["models"] == ["other", "best"]
    assert found["p_fake"] == face["models"]["other"]["p_fake"]
    assert found["verdict"] == face["models"]["other"]["verdict"]
    for score in face["models"].values():
        p = score["p_fake"]
        expected = "AI-generated" if p >= 0.7 else "real" if p <= 0.3 else "unsure"
        assert 0 < p < 1
        assert score["verdict"] == expected
    assert found["note"] == NOTE


def test_json_lines_and_the_best_model_by_default(
    run: Run, portrait: Path, plain: Path, tmp_path: Path
) -> None:
    absent, empty = tmp_path / "absent.jpg", tmp_path / "empty.jpg"
    empty.touch()
    outcome = run.judge(absent, plain, portrait, empty, "--json")
    assert outcome.status == 0
    assert outcome.err == ""
    statuses = [found["status"] for found in outcome.json]
    assert statuses == ["unreadable", "no_face", "ok", "unreadable"]
    assert all(found["models"] == ["best"] for found in outcome.json)
    for found in outcome.json:
        if found["status"] != "ok":
            assert found["verdict"] is found["p_fake"] is None
            assert found["faces"] == []
    assert "No such file" in outcome.json[0]["error"]
    assert outcome.json[0]["sha256"] is None
    assert "empty" in outcome.json[3]["error"]
    assert outcome.json[3]["sha256"] == hashlib.sha256(b"").hexdigest()


def test_file_is_named_to_the_letter(run: Run, tmp_path: Path) -> None:
    names = [f"{tmp_path}/./a.jpg", "", os.fsdecode(b"\xff.jpg"), "-", "a\nb"]
    outcome = run.judge(*names, "--json")
    names[2] = r"\xFF.jpg"  # bytes that no JSON can hold
    assert [found["file"] for found in outcome.json] == names
    assert outcome.out.isascii()


def test_a_name_in_its_escaped_spelling_is_a_file_too(
    run: Run, plain: Path, tmp_path: Path
) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(plain.read_bytes())
    except OSError:
        pytest.skip("this file system does not take such a name")
    spelled = f"{tmp_path}/caf\\xE9.png"
    (found,) = run.judge(spelled, "--json").json
    assert (found["status"], found["file"]) == ("no_face", spelled)


def test_status_1_where_nothing_could_be_read(run: Run, plain: Path, tmp_path: Path) -> None:
    assert run.judge(tmp_path / "absent.jpg", tmp_path).status == 1
    assert run.judge(tmp_path / "absent.jpg", "--json").status == 1
    assert run.judge(tmp_path / "absent.jpg", plain).status == 0


def test_text(run: Run, portrait: Path, plain: Path, tmp_path: Path) -> None:
    outcome = run.judge(portrait, plain, tmp_path / "absent.jpg", "--model", "best")
    assert outcome.err == ""
    lines = outcome.out.splitlines()
    weak = [
        line for line in lines if line.startswith("  The face detector that looked (haar) sees")
    ]
    assert len(weak) == 1, "in the small picture without a face it sees all that can be judged"
    lines = [line for line in lines if line not in weak]
    assert lines[0] == f"{portrait}: 1 face"
    assert lines[1].startswith("  face 1, ")
    assert lines[2].startswith("    best  ")
    assert " % likely AI-generated: " in lines[2]
    assert lines[3].startswith(f"{plain}: no face found")
    assert lines[4].startswith(f"{tmp_path}/absent.jpg: unreadable. ")
    assert lines[5:] == ["", NOTE]
    assert outcome.out.count(NOTE) == 1


def test_heatmap(run: Run, portrait: Path, tmp_path: Path) -> None:
    out = tmp_path / "where.PNG"
    outcome = run.judge(portrait, "--heatmap", out, "--json")
    assert outcome.status == 0
    assert len(outcome.json) == 1
    x, y, w, h = outcome.json[0]["faces"][0]["box"]
    with Image.open(out) as picture, Image.open(portrait) as photo:
        assert (picture.format, picture.size) == ("PNG", photo.size)
        different = (np.asarray(picture) != np.asarray(photo.convert("RGB"))).any(axis=2)
    assert different[y + 5 : y + h - 5, x + 5 : x + w - 5].any()
    assert not different[-100:].any()


def test_no_heatmap_without_a_face(run: Run, plain: Path, tmp_path: Path) -> None:
    outcome = run.judge(plain, "--heatmap", tmp_path / "out.png", "--json")
    assert outcome.status == 0
    assert outcome.json[0]["status"] == "no_face"
    assert outcome.err == f"fakeface: no face, so {tmp_path}/out.png was not written.\n"
    assert not (tmp_path / "out.png").exists()


def test_scan_from_the_start_to_the_second_time(
    run: Run, portrait: Path, plain: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(portrait.read_bytes())
    (tmp_path / "b.jpg").write_bytes(portrait.read_bytes()[:5000])
    out = tmp_path / "out.csv"
    args = ("scan", tmp_path, "--out", out, "--detector", "haar", "--device", "cpu")
    outcome = run(*args, "--model", "best", "--model", "other")
    assert outcome.status == 0
    assert "3/3" in outcome.err
    head, *rows = csv.reader(out.read_text().splitlines())
    assert ",".join(head) == HEADER
    assert [(Path(row[0]).name, *row[1:4]) for row in rows] == [
        ("a.jpg", "ok", "best", "1"),
        ("a.jpg", "ok", "other", "1"),
        ("b.jpg", "unreadable", "best", "0"),
        ("b.jpg", "unreadable", "other", "0"),
        ("plain.png", "no_face", "best", "0"),
        ("plain.png", "no_face", "other", "0"),
    ]
    (score,) = run.judge(tmp_path / "a.jpg", "--json").json
    assert rows[0][4:6] == [f"{score['p_fake']:.4f}", score["verdict"]]
    assert rows[0][6] == score["judges"]["best"]["sha256"]
    assert [row[7] for row in rows] == ["0", "0", "", "", "0", "0"]
    assert "3 files: 1 with faces, 1 without a face, 1 unreadable" in outcome.out
    assert "  1 x This JPEG file is damaged or incomplete; " in outcome.out
    assert f"First: {tmp_path}/b.jpg\n" in outcome.out
    assert NOTE in outcome.out

    whole = out.read_bytes()
    out.write_bytes(whole[:-3])
    assert run(*args, "--model", "best", "--model", "other").status == 0
    assert out.read_bytes() == whole
    outcome = run(*args)
    assert outcome.status == 0
    assert "3 of them were in the table already" in outcome.out
    assert out.read_bytes() == whole


def test_what_a_scan_leaves_out_is_counted_and_named(run: Run, plain: Path, tmp_path: Path) -> None:
    plain.rename(tmp_path / "picture.txt")
    for i in range(5):
        (tmp_path / f"{i}.txt").write_text("text")
    (tmp_path / "loop").symlink_to(tmp_path)
    outcome = run("scan", tmp_path, "--out", tmp_path / "out.csv", "--detector", "haar")
    assert "1 files: 0 with faces, 1 without a face" in outcome.out
    assert "6 left out:\n  5 x This is no picture" in outcome.out
    assert f"First: {tmp_path}/0.txt, {tmp_path}/1.txt, {tmp_path}/2.txt\n" in outcome.out
    assert f"1 x This folder is scanned already, by another path to it. First: {tmp_path}/loop" in (
        outcome.out
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_the_last_line_of_a_scan_on_a_full_disk_says_what_is_missing(
    run: Run, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(plain.read_bytes() + name.encode())
    args = ("scan", tmp_path, "--out", tmp_path / "out.csv", "--detector", "haar")
    with monkeypatch.context() as patch:
        fill_disk(patch, after=2)  # the header and a row
        outcome = run(*args)
    assert outcome.status == 2
    assert outcome.err.splitlines()[-1] == (
        f"fakeface: {tmp_path}/out.csv cannot be written (No space left on device). 2 files are "
        "not in the table; run the same command again to go on."
    )
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 2
    assert run(*args).status == 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 4


def test_a_full_disk_leaves_the_old_heatmap(
    run: Run, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.png"
    out.write_bytes(b"the old one")

    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    assert "No space left" in run.refuse("analyse", portrait, "--heatmap", out)
    assert out.read_bytes() == b"the old one"
    assert [path.name for path in tmp_path.iterdir() if "out.png" in path.name] == ["out.png"]


def test_scan_where_nothing_can_be_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"text")
    for path in (tmp_path / "a.jpg", tmp_path / "absent", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        out = tmp_path / f"{path.name}.csv"
        outcome = run("scan", path, "--out", out, "--detector", "haar")
        assert outcome.status == 1
        assert NOTE not in outcome.out
        assert out.read_text().startswith(HEADER + "\n")


def test_models(run: Run, installed: Path) -> None:
    outcome = run("models", "--json")
    assert outcome.status == 0
    assert outcome.err == ""
    best, other = outcome.json
    weights = installed / "best" / "model.safetensors"
    assert best == {
        "name": "best",
        "title": "Best MobileNetV2",
        "backbone": "mobilenetv2_100",
        "input_size": 96,
        "parameters": parameters(build("mobilenetv2_100")),
        "bytes": weights.stat().st_size,
        "auc": TEST_AUC,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }
    assert other["name"] == "other"
    assert other["auc"] is None

    outcome = run("models")
    assert outcome.status == 0
    assert outcome.err == ""
    head, first, second = outcome.out.splitlines()
    assert head.split()[:2] == ["name", "title"]
    for cell in ("best", "Best MobileNetV2", "96 px", "2.2 M", "4.5 MB", "0.961 (0.950 to 0.972)"):
        assert cell in first
    assert first.endswith(best["sha256"][:12])
    assert "not measured" in second


def test_models_where_weights_or_all_are_missing(
    run: Run, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKEFACE_CHECKPOINTS", str(tmp_path))
    outcome = run("models", "--json")
    assert (outcome.status, outcome.out) == (0, "")
    outcome = run("models")
    assert (outcome.status, outcome.out) == (0, "")
    assert "no model is installed" in outcome.err
    (tmp_path / "best").mkdir()
    (tmp_path / "best/card.json").write_bytes((installed / "best/card.json").read_bytes())
    assert "no weights" in run("models").out
    (found,) = run("models", "--json").json
    assert found["parameters"] is found["bytes"] is None
    assert "missing" in run.refuse("analyse", "x.jpg", "--model", "best")
    (tmp_path / "best/model.safetensors").write_bytes(b"damaged")
    assert "checksum" in run.refuse("analyse", "x.jpg", "--model", "best")


def test_a_damaged_model_does_not_disable_the_others(
    run: Run, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portrait: Path
) -> None:
    root = tmp_path / "models"
    shutil.copytree(installed, root)
    monkeypatch.setenv("FAKEFACE_CHECKPOINTS", str(root))
    card = root / "other" / "card.json"
    card.write_text(card.read_text().replace('"temperature": 1.0', '"temperature": 0.0'))
    outcome = run("models", "--json")
    assert [model["name"] for model in outcome.json] == ["best"]
    assert outcome.status == 0
    assert "other/card.json is damaged (field calibration.temperature" in outcome.err
    assert len(outcome.err.splitlines()) == 1
    (found,) = run("analyse", str(portrait), "--json", "--detector", "haar").json
    assert found["models"] == ["best"]
    assert "calibration.temperature" in run.refuse("analyse", "x.jpg", "--model", "other")
    (root / "best" / "reference.safetensors").write_bytes(b"damaged")
    (root / "best" / "metrics.json").write_text("damaged")
    (found,) = run("analyse", str(portrait), "--json", "--detector", "haar").json
    assert found["status"] == "ok" and found["faces"][0]["quality"]["familiarity"] is None


@pytest.mark.parametrize(
    ("args", "part"),
    [
        ([], "COMMAND"),
        (["frobnicate"], "'frobnicate'"),
        (["--frobnicate"], "required"),
        (["analyse"], "IMAGE"),
        (["analyse", "a.jpg", "--jso"], "--jso"),
        (["analyse", "a.jpg", "--model"], "--model"),
        (["analyse", "a.jpg", "--detector", "eyes"], "'yunet', 'mtcnn', 'haar'"),
        (["analyse", "a.jpg", "--device", "abacus"], "'cpu', 'cuda'"),
        (["analyse", "a.jpg", "--model", "absent"], "'absent'; installed: best, other."),
        (["analyse", "a.jpg", "--model", "../best"], "'../best'; installed: best, other."),
        (["analyse", "a.jpg", "--model", ""], "''; installed: best, other."),
        (["analyse", "a.jpg", "b.jpg", "--heatmap", "out.png"], "one IMAGE"),
        (["analyse", "a.jpg", "--heatmap", "out.jpg"], ".png"),
        (["analyse", "a.jpg", "--heatmap", "absent/out.png"], "no folder absent"),
        (["analyse", "a.jpg", "--heatmap", "folder.png"], "cannot be written"),
        (["analyse", "a.png", "--heatmap", "./a.png"], "replace the picture itself"),
        (["scan", "--out", "out.csv"], "SOURCE"),
        (["scan", ".", "--out", "out.csv", "--workers", "0"], "--workers"),
        (["scan", ".", "--out", "out.csv", "--engine", "ray", "--actors", "0"], "--actors must"),
        (["scan", ".", "--out", "out.csv", "--cpus", "2"], "--cpus goes with --engine ray"),
        (["scan", "@absent", "--out", "out.csv"], "The list absent cannot be read"),
        (["scan", "--list", "absent", "--out", "out.csv"], "The list absent cannot be read"),
        (["scan", ".", "--out", "out.jsonl", "--bom"], "only a CSV"),
        (["scan", "."], "--out"),
        (["scan", ".", "--out", "absent/out.csv"], "no folder absent"),
        (["scan", ".", "--out", "folder.png"], "no ordinary file"),
        (["scan", ".", "--out", "notes.txt"], "not a table of this command"),
        (["scan", ".", "--out", "out.csv", "--model", "absent"], "installed: best, other."),
        (["models", "a\nb"], "a b"),
    ],
)
def test_wrong_usage_is_one_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], part: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.png").mkdir()
    Path("notes.txt").write_text("dear diary")
    assert part in run.refuse(*args)
    assert sorted(os.listdir()) == ["folder.png", "notes.txt"]
    assert Path("notes.txt").read_text() == "dear diary"


def test_detector_and_device_that_are_not_there(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "YuNet" in run.refuse("analyse", "a.jpg", "--detector", "yunet")
    assert "no usable GPU" in run.refuse("analyse", "a.jpg", "--device", "cuda")


def test_help_and_version(run: Run) -> None:
    for command in ((), ("analyse",), ("scan",), ("models",)):
        outcome = run(*command, "--help")
        assert outcome.status == 0
        assert outcome.out.startswith("usage: python -m fakeface")
    assert run("--version").out.startswith("fakeface ")


def test_ctrl_c(run: Run, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = pipeline.judge_bytes

    def stop(data: bytes, *rest: Any) -> pipeline.Outcome:
        if data.endswith(b"b.jpg"):
            raise KeyboardInterrupt
        return real(data, *rest)

    monkeypatch.setattr(pipeline, "judge_bytes", stop)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(portrait.read_bytes() + name.encode())
    outcome = run("scan", tmp_path, "--out", tmp_path / "out.csv", "--detector", "haar")
    assert outcome.status == 130
    assert "Traceback" not in outcome.err
    assert "interrupted; 2 files are not in the table" in outcome.err.splitlines()[-1]
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 2


def python(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *args],
        cwd=Path(fakeface.__file__).parent.parent,
        env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
        text=True,
        timeout=60,
        **options,
    )


def test_help_and_wrong_usage_do_not_wait_for_torch(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("dear diary")
    code = f"""
import sys
from fakeface.cli import main
assert main(["--help"]) == main(["--version"]) == 0
assert "torch" not in sys.modules and "cv2" not in sys.modules
assert main(["frobnicate"]) == 2
assert main(["analyse", "a", "b", "--heatmap", "c.png"]) == 2
assert main(["scan", "a", "--out", {str(tmp_path / "notes.txt")!r}]) == 2
assert "torch" not in sys.modules and "cv2" not in sys.modules
"""
    done = python("-c", code, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 3


def test_as_a_module_into_a_closed_pipe() -> None:
    done = python("-m", "fakeface", "frobnicate", capture_output=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("fakeface: ")
    reading, writing = os.pipe()
    os.close(reading)
    done = python("-m", "fakeface", "--help", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
