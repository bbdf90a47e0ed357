"""A network as OpenVINO runs it on this CPU, several times as fast as PyTorch does.

PyTorch stays the reference: every network is run by both once, when it is loaded, and one whose
logits differ is left to PyTorch. What OpenVINO makes of a network is kept in the user's cache, by
the sha256 of its weights, so that it is made once a machine.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import platformdirs
import torch
from torch import nn

from fakeface.programs import Precision, load_program
from fakeface.types import EngineError, FloatArray

# A batch, float32 (N, 3, S, S) -> logits (N, 1) and numbers on each face (N, D), float32.
Runtime: TypeAlias = Callable[[torch.Tensor], tuple[FloatArray, FloatArray]]

PRECISIONS: Final[tuple[Precision, ...]] = ("bf16", "f32")  # the quicker first

# What the logits of a normal input may differ by. In bfloat16 a number has three digits.
_TOLERANCE: Final[dict[Precision, float]] = {"f32": 1e-3, "bf16": 0.1}
_INSTEAD: Final[dict[Precision, str]] = {
    "f32": "PyTorch runs the network",
    "bf16": "the network runs in full precision",
}
# What the network gives; another name where it is changed, so that no older copy is used.
_OUTPUTS: Final = "style"

log = logging.getLogger(__name__)


def compile_network(
    outputs: nn.Module,
    size: int,
    *,
    sha256: str = "",
    precision: Precision = "f32",
) -> Runtime | None:
    """A network on the CPU, in evaluation mode, for OpenVINO to run.

    Args:
        outputs: gives logits and some numbers on each face; see `outputs.Outputs`.
        size: side of the input square, in pixels.
        sha256: of its weights, by which the result is kept; empty for weights of no file.
        precision: what OpenVINO computes in; "bf16" only where `computes_bf16`.

    Returns:
        A function that one thread may call at a time; None where OpenVINO is not installed, fails,
        or gives other logits than PyTorch, which is logged.
    """
    if importlib.util.find_spec("openvino") is None:
        return None
    try:
        runtime = _compile(_load_graph(outputs, size, sha256), precision)
        differ = _compare(runtime, outputs, size)
    except Exception as error:  # OpenVINO raises RuntimeError of its own, and OSError for its files
        log.warning(
            "OpenVINO cannot run this network (%s), so %s.", _first_line(error), _INSTEAD[precision]
        )
        return None
    if not differ <= _TOLERANCE[precision]:
        log.warning("OpenVINO's logits are off by %.2g here, so %s.", differ, _INSTEAD[precision])
        return None
    return runtime


def computes_bf16() -> bool:
    """Whether this processor has instructions for bfloat16; without them it is slow."""
    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def _load_graph(outputs: nn.Module, size: int, sha256: str) -> Any:
    """The network as OpenVINO reads it: from the cache, or converted and put there."""
    import openvino

    if not sha256:
        return convert(outputs, size)
    folder = platformdirs.user_cache_path("fakeface") / "openvino"
    kept = folder / f"{sha256[:16]}-{size}-{_OUTPUTS}-{openvino.__version__.partition('-')[0]}"
    if (kept / "network.xml").exists():
        try:
            return openvino.Core().read_model(kept / "network.xml")
        except RuntimeError as error:
            log.info("%s is damaged and made anew (%s).", kept, _first_line(error))
            shutil.rmtree(kept, ignore_errors=True)
    graph = convert(outputs, size)
    try:
        _keep(graph, kept, half=_is_half(outputs))
    except OSError as error:
        log.info("The converted network is not kept (%s).", error.strerror)
    return graph


def _keep(graph: Any, kept: Path, *, half: bool) -> None:
    """Write a network, weights in fp16 if `half`, and only then give its folder its name."""
    import openvino

    part = kept.with_name(f"{kept.name}.{np.random.SeedSequence().entropy:x}.part")
    part.mkdir(parents=True)
    try:
        openvino.save_model(graph, part / "network.xml", compress_to_fp16=half)
        part.rename(kept)
    except OSError:
        if not kept.exists():  # else another process was quicker
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _is_half(outputs: nn.Module) -> bool:
    """Whether nothing is lost by keeping the weights in fp16, as of a shipped model."""
    state = outputs.state_dict().values()
    return all(torch.equal(t.half().float(), t) for t in state if t.is_floating_point())


def convert(outputs: nn.Module, size: int) -> Any:
    """A traced network as a graph of any number of pictures."""
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its tracer old
        traced = torch.jit.trace(outputs, torch.zeros(2, 3, size, size))  # type: ignore[no-untyped-call]
        frontend = FrontEndManager().load_by_framework("pytorch")
        # Not openvino.convert_model, which reports to its maker.
        decoder = TorchScriptPythonDecoder(traced)  # must outlive the conversion
        graph = frontend.convert(frontend.load(decoder))
    graph.reshape({graph.input(0): openvino.PartialShape([-1, 3, size, size])})
    return graph


def read_network(data: bytes) -> Runtime:
    """A network of an ONNX file, which runs in its own precision; it tells no style.

    Raises:
        EngineError: OpenVINO is not installed, or cannot run it.
    """
    try:
        import openvino

        program = load_program(openvino.Core().read_model(data))
    except (ImportError, RuntimeError) as error:
        raise EngineError(
            f"OpenVINO cannot run the int8 network ({_first_line(error)}); leave int8 out."
        ) from error

    def run(batch: torch.Tensor) -> tuple[FloatArray, FloatArray]:
        logits = program(np.ascontiguousarray(batch.numpy()))[0]
        return np.array(logits, np.float32), np.empty((len(batch), 0), np.float32)

    return run


def _compile(graph: Any, precision: Precision) -> Runtime:
    program = load_program(graph, precision)

    def run(batch: torch.Tensor) -> tuple[FloatArray, FloatArray]:
        logits, numbers = program(np.ascontiguousarray(batch.numpy())).to_tuple()
        # Copies: the arrays are windows into memory that the next call writes to.
        return np.array(logits, np.float32), np.array(numbers, np.float32)

    return run


@torch.inference_mode()
def _compare(runtime: Runtime, outputs: nn.Module, size: int) -> float:
    """The largest difference of logits from PyTorch's, for two pictures of noise."""
    noise = np.random.default_rng(0).normal(size=(2, 3, size, size))
    batch = torch.from_numpy(noise.astype(np.float32))
    return float(np.abs(runtime(batch)[0] - outputs(batch)[0].numpy()).max())


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
