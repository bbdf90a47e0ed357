"""What `make web` puts together, without a browser and without a network."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from fakeface.faces import boxes, mtcnn
from fakeface.models import checkpoints
from fakeface.report import html
from fakeface.stability import COPIES
from fakeface.types import Score, Verdict
from tests.ui.static import served
from web import assemble, runtime
from web.light import round_weights


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The files of the page; ONNX Runtime is stood in for, since nothing here runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "read_runtime", lambda: dict.fromkeys(runtime.FILES, b"runtime"))
        return assemble.collect(checkpoints.default())


@pytest.fixture(scope="module")
def facts(files: dict[str, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files["facts.json"])
    return found


def test_the_numbers_are_those_of_the_model(facts):
    card = checkpoints.read_card(checkpoints.checkpoints_root() / checkpoints.default())
    how, limits = card.preprocessing, card.calibration
    assert facts["preprocessing"] == {
        "size": how.size, "margin": how.margin, "mean": list(how.mean), "std": list(how.std),
    }  # fmt: skip
    assert facts["calibration"] == {
        "temperature": limits.temperature,
        "offset": limits.offset,
        "real_below": limits.real_below,
        "fake_above": limits.fake_above,
    }
    assert facts["alarms"]["count"] == card.metrics["sets"]["val"]["n_real"]
    assert facts["alarms"]["below"] < limits.fake_above


def test_the_network_is_small_and_knows_its_model(files, facts):
    data = files[facts["model"]["file"]]
    assert len(data) <= 5_000_000
    network = onnx.load_from_string(data)
    told = {field.key: field.value for field in network.metadata_props}
    card = checkpoints.read_card(checkpoints.checkpoints_root() / checkpoints.default())
    assert told["sha256"] == card.sha256
    assert facts["model"]["output"] in [output.name for output in network.graph.output]


def test_the_copies_and_the_detector_are_those_of_the_engine(facts):
    assert [copy["name"] for copy in facts["copies"]] == [copy.name for copy in COPIES]
    assert facts["tiles"]["min_face"] == boxes.MIN_FACE
    assert facts["mtcnn"]["passes"] == list(mtcnn.PASS)


def test_the_words_are_those_of_the_page_and_the_report(facts):
    parts = html.environment().get_template("parts.html").module
    words = facts["words"]
    for verdict in Verdict:
        key = html.STYLES[verdict]
        assert words["verdicts"][key] == {"mark": html.MARKS[verdict], "word": html.WORDS[verdict]}
    assert words["explained"]["real"] == " ".join(
        parts.explanation(Score("", 0.0, 0.1, Verdict.REAL)).split()
    )
    assert "<" not in json.dumps(words), "they are shown as text"
    assert "AI-generated" in words["explained"]["was_fake"]
    assert html.WORDS[Verdict.REAL] in words["held"]["was_real"]


def test_the_scripts_repeat_no_verdict_and_no_threshold(files, facts):
    numbers = [repr(value) for value in facts["calibration"].values() if value]
    words = [facts["words"]["verdicts"][key]["word"] for key in ("fake", "real")]
    for name in [name for name in files if re.fullmatch(r"\w+\.js", name)]:
        text = files[name].decode()
        assert not [number for number in numbers if number[:5] in text], name
        assert not [word for word in words if word in text], name


def test_every_script_and_style_is_a_file_of_the_folder(files):
    page = files["index.html"].decode()
    for address in re.findall(r'(?:src|href)="([^"#]+)"', page):
        assert address in files, address
    assert "<script>" not in page and " style=" not in page and not re.search(r"\son\w+=", page)
    assert "unsafe-inline" not in assemble.POLICY and "unsafe-eval'" in assemble.POLICY
    assert f'content="{assemble.POLICY}"' in page.replace("&#39;", "'")
    ours = [name for name in files if "/" not in name and name.endswith((".js", ".css", ".html"))]
    for name in ours:
        assert not re.search(rb"https?://", files[name]), name


def test_the_page_says_what_it_leaves_out(files):
    page = " ".join(files["index.html"].decode().split())
    assert "What this page leaves out" in page and "content credentials" in page
    assert "Evidence, not proof." in page


def test_the_service_worker_names_all_files_and_their_hash(files):
    others = {name: data for name, data in files.items() if name != "sw.js"}
    worker = files["sw.js"].decode()
    named = json.loads(re.search(r"^const FILES = (.*);$", worker, re.M)[1])
    assert named == ["./", *sorted(others.keys() - {"README.md"})]
    changed = assemble.add_files("", others | {"style.css": b"changed"})
    same = assemble.add_files("", dict(reversed(others.items())))
    version = re.compile(r'const VERSION = "(\w{16})"')
    assert version.search(worker)[1] == version.search(same)[1] != version.search(changed)[1]


def test_it_can_be_installed(files):
    told = json.loads(files["manifest.webmanifest"])
    assert told["display"] == "standalone" and told["start_url"] == "./"
    for icon in told["icons"]:
        side = int(icon["sizes"].split("x")[0])
        image = Image.open(BytesIO(files[icon["src"]]))
        assert image.size == (side, side) and np.ptp(np.asarray(image), axis=(0, 1)).all()


def test_the_licences_of_others_come_along(files):
    told = files["NOTICES.txt"].decode()
    assert "Microsoft" in told and "linxiaohui" in told
    assert told.count("Permission is hereby granted") == 1


def test_an_old_folder_is_replaced_once_the_new_one_is_whole(tmp_path, monkeypatch):
    out = tmp_path / "site"
    out.mkdir()
    (out / "stale.js").write_text("old")

    def fail(model: str) -> dict[str, bytes]:
        raise runtime.RuntimeMissing("no network")

    monkeypatch.setattr(assemble, "collect", fail)
    assert assemble.main(["--out", str(out), "--model", "any"]) == 1
    assert (out / "stale.js").exists()
    monkeypatch.setattr(assemble, "collect", lambda model: {"a/b.js": b"new"})
    assert assemble.main(["--out", str(out), "--model", "any"]) == 0
    assert [path.name for path in out.rglob("*")] == ["a", "b.js"]


def packed() -> bytes:
    """An archive like that of ONNX Runtime."""
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in runtime.FILES:
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(name)
            archive.addfile(member, BytesIO(name.encode()))
    return out.getvalue()


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache, on a machine without npm, and a package whose sha512 is pinned."""
    digest = hashlib.sha512(packed()).digest()
    monkeypatch.setattr(runtime, "INTEGRITY", f"sha512-{base64.b64encode(digest).decode()}")
    monkeypatch.setattr(runtime.platformdirs, "user_cache_path", lambda _: tmp_path / "cache")
    monkeypatch.setattr(runtime.shutil, "which", lambda _: None)
    return tmp_path / "cache" / runtime.ARCHIVE


def test_the_runtime_is_fetched_once_and_checked(cache, tmp_path, monkeypatch):
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "right.tgz").write_bytes(packed())
    wanted = {name: name.encode() for name in runtime.FILES}
    with served(tmp_path / "registry") as registry:
        monkeypatch.setattr(runtime, "ADDRESS", f"{registry.url}right.tgz")
        assert runtime.read_runtime() == wanted
        assert runtime.read_runtime() == wanted
        assert len(registry.asked) == 1, "the second time it came from the cache"
        cache.write_bytes(b"damaged")
        assert runtime.read_runtime() == wanted
        assert len(registry.asked) == 2


def test_a_runtime_with_another_hash_is_refused(cache, tmp_path, monkeypatch):
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "wrong.tgz").write_bytes(packed() + b"\0")
    with served(tmp_path / "registry") as registry:
        monkeypatch.setattr(runtime, "ADDRESS", f"{registry.url}wrong.tgz")
        with pytest.raises(runtime.RuntimeMissing, match="another sha512"):
            runtime.read_runtime()
    assert not cache.exists()


def test_without_a_network_it_says_so_in_a_sentence(cache, monkeypatch):
    monkeypatch.setattr(runtime, "ADDRESS", "http://127.0.0.1:9/none.tgz")
    with pytest.raises(runtime.RuntimeMissing, match="connect to the network and try again"):
        runtime.read_runtime()


def test_npm_is_asked_where_it_is_installed(cache, tmp_path, monkeypatch):
    npm = tmp_path / "npm"
    (tmp_path / "package.tgz").write_bytes(packed())
    npm.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncp {tmp_path}/package.tgz {runtime.ARCHIVE}\n'
    )
    npm.chmod(0o755)
    monkeypatch.setattr(runtime.shutil, "which", lambda _: str(npm))
    assert runtime.read_runtime() == {name: name.encode() for name in runtime.FILES}
    assert f"{runtime.NAME}@{runtime.VERSION}" in (tmp_path / "asked").read_text()
    npm.write_text("#!/bin/sh\nexit 1\n")
    cache.unlink()
    with pytest.raises(runtime.RuntimeMissing, match="cannot be fetched"):
        runtime.read_runtime()


def test_large_weights_become_whole_numbers_of_8_bits():
    random = np.random.default_rng(0)
    large = random.normal(size=(256, 64, 3, 3)).astype(np.float32)
    large[3] *= 1000  # a row of its own scale must not cost the others
    small = random.normal(size=(8, 256, 1, 1)).astype(np.float32)
    make = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Conv", ["x", "large"], ["y"]),
            onnx.helper.make_node("Conv", ["y", "small"], ["z"]),
        ],
        "g",
        [make("x", onnx.TensorProto.FLOAT, [1, 64, 5, 5])],
        [make("y", onnx.TensorProto.FLOAT, [1, 256, 3, 3])],
        [
            onnx.numpy_helper.from_array(large, "large"),
            onnx.numpy_helper.from_array(small, "small"),
        ],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    proto = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)
    x = random.normal(size=(1, 64, 5, 5)).astype(np.float32)

    def run(data: bytes) -> Any:
        return onnxruntime.InferenceSession(data).run(["y"], {"x": x})[0][0]

    before = proto.SerializeToString()
    after = round_weights(proto).SerializeToString()
    onnx.checker.check_model(onnx.load_from_string(after))
    assert len(after) < 0.3 * len(before)
    exact, rounded = run(before), run(after)
    wrong = np.abs(exact - rounded).max(axis=(1, 2)) / np.abs(exact).max(axis=(1, 2))
    assert 0 < wrong.max() < 0.05
