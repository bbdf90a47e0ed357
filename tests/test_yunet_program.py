"""YuNet by OpenVINO gives what OpenCV's FaceDetectorYN gives, for any network of its form."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from fakeface.faces import yunet, yunet_program
from fakeface.faces.yunet_program import MOST, OVERLAP, SCORE, compile_yunet, pad, read_outputs

PARTS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
SQUARES = (8, 16, 32)
NOISE = np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)


@pytest.fixture(scope="module")
def network() -> bytes:
    """A network with YuNet's inputs and outputs that sees faces at random."""
    rng = np.random.default_rng(0)
    nodes, weights = [], []
    for square in SQUARES:
        for part, channels in PARTS.items():
            name = f"{part}_{square}"
            kernel = rng.normal(size=(channels, 3, square, square)) / (100 * square)
            weights += [
                numpy_helper.from_array(kernel.astype(np.float32), f"{name}_kernel"),
                numpy_helper.from_array(np.array([1, -1, channels]), f"{name}_shape"),
            ]
            sides = [square, square]
            last = "Sigmoid" if channels == 1 else "Identity"
            nodes += [
                helper.make_node(
                    "Conv", ["input", f"{name}_kernel"], [f"{name}_map"],
                    kernel_shape=sides, strides=sides,
                ),
                helper.make_node("Transpose", [f"{name}_map"], [f"{name}_t"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"{name}_t", f"{name}_shape"], [f"{name}_rows"]),
                helper.make_node(last, [f"{name}_rows"], [name]),
            ]  # fmt: skip
    outputs = [
        helper.make_tensor_value_info(
            f"{part}_{square}", TensorProto.FLOAT, [1, (640 // square) ** 2, channels]
        )
        for square in SQUARES
        for part, channels in PARTS.items()
    ]
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 640, 640])
    graph = helper.make_graph(nodes, "yunet", [given], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(("height", "width"), [(64, 64), (200, 333), (7, 100), (321, 90)])
def test_the_rows_are_those_of_opencv(network: bytes, height: int, width: int) -> None:
    rng = np.random.default_rng(width)
    picture = rng.integers(0, 256, (height, width, 3), np.uint8)
    reference = cv2.FaceDetectorYN.create(
        "onnx", np.frombuffer(network, np.uint8), np.empty(0, np.uint8), (width, height),
        SCORE, OVERLAP, MOST,
    )  # fmt: skip
    wanted = reference.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    run = compile_yunet(network)
    assert run is not None
    found = run(picture)
    assert len(found) > 2
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3)


def test_where_nothing_is_seen_there_is_no_row(network: bytes) -> None:
    run = compile_yunet(network)
    assert run is not None
    assert run(np.zeros((40, 50, 3), np.uint8)).shape == (0, 15)


def test_a_picture_is_filled_up_with_black_to_whole_squares() -> None:
    picture = np.arange(33 * 64 * 3, dtype=np.uint8).reshape(33, 64, 3)
    batch = pad(picture)
    assert batch.shape == (1, 3, 64, 64)
    assert np.array_equal(batch[0, :, :33], picture[:, :, ::-1].transpose(2, 0, 1))
    assert not batch[0, :, 33:].any()


def test_a_face_lies_where_its_square_says() -> None:
    """In a picture of 64 by 32 pixels: one face in the second square of 16 in the second row."""
    outputs = {
        f"{part}_{square}": np.zeros((64 * 32 // square**2, channels), np.float32)
        for square in SQUARES
        for part, channels in PARTS.items()
    }
    at = 4 + 1
    outputs["cls_16"][at], outputs["obj_16"][at] = 0.9, 0.9
    outputs["bbox_16"][at] = 0.5, 0.25, np.log(2), 0
    outputs["kps_16"][at] = np.arange(10) / 10
    ((x, y, w, h, *landmarks, score),) = read_outputs(outputs, 64)
    assert (x, y, w, h) == pytest.approx((24 - 16, 20 - 8, 32, 16))
    assert landmarks[:4] == pytest.approx([16, 17.6, 19.2, 20.8])
    assert score == pytest.approx(0.9)


def test_little_is_kept_of_each_shape(network: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    real = openvino.Core.compile_model

    def compile_model(core: object, graph: object, device: str, options: dict[str, object]) -> Any:
        given.append(options)
        return real(core, graph, device, options)

    monkeypatch.setattr(openvino.Core, "compile_model", compile_model)
    assert compile_yunet(network) is not None
    assert [0 < options["CPU_RUNTIME_CACHE_CAPACITY"] < 1000 for options in given] == [True]


@pytest.fixture
def file(network: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The network in the place of YuNet's file."""
    path = tmp_path / "yunet.onnx"
    path.write_bytes(network)
    monkeypatch.setattr(yunet, "SHA256", hashlib.sha256(network).hexdigest())
    monkeypatch.delenv("FAKEFACE_ENGINE")
    return path


def test_without_openvino_opencv_runs_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_program(graph: object, **options: object) -> None:
        raise RuntimeError("no such instruction\nand more")

    both = yunet.YuNet(file)
    assert both._program is not None
    wanted = both.detect(NOISE)
    monkeypatch.setattr(yunet_program, "load_program", load_program)
    alone = yunet.YuNet(file)
    assert alone._program is None
    assert [face.box for face in alone.detect(NOISE)] == [face.box for face in wanted] != []


def test_who_asks_for_torch_gets_no_openvino(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKEFACE_ENGINE", "torch")
    assert yunet.YuNet(file)._program is None


def test_a_forked_process_asks_opencv(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO would wait for ever for threads that stayed in the first process."""
    seer = yunet.YuNet(file)
    wanted = seer.detect(NOISE)
    monkeypatch.setattr(seer, "_program", lambda image: pytest.fail("asked in a forked process"))
    monkeypatch.setattr(yunet.os, "getpid", os.getppid)
    assert [face.box for face in seer.detect(NOISE)] == [face.box for face in wanted] != []
