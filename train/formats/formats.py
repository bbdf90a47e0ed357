"""The formats that a model can be written in, and how far each may stray from PyTorch."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from scipy.special import expit

from fakeface.models.calibrate import Calibration
from train.formats import to_executorch, to_int8, to_litert, to_onnx, to_openvino
from train.formats.network import ConversionError, Network, Run


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    Attributes:
        name: as the command line knows it.
        suffix: of a file or folder, after the model's name.
        precision: of its weights.
        packages: what it needs: module -> how pip is asked for it.
        limit: how far p(fake) of a face may be from that of PyTorch.
        write: the network, at a path that does not exist yet.
        run: what was written, as a function.
        read_metadata: what was written beside the network.
        note: where to install the packages, if not beside the others.
    """

    name: str
    suffix: str
    precision: str
    packages: Mapping[str, str]
    limit: float
    write: Callable[[Network, Path], None]
    run: Callable[[Path], Run]
    read_metadata: Callable[[Path], dict[str, str]]
    note: str = ""

    def missing(self) -> list[str]:
        """The packages that this format needs and that are not installed, as pip knows them."""
        return [
            pip for name, pip in self.packages.items() if importlib.util.find_spec(name) is None
        ]

    def require(self) -> None:
        """Check that the packages are there.

        Raises:
            ConversionError: says what to install.
        """
        if missing := self.missing():
            raise ConversionError(
                f"The format {self.name} needs {' and '.join(missing)}; run "
                f"`pip install {' '.join(missing)}`{self.note}, and the same command again."
            )


_ONNX = {"onnx": "onnx", "onnxscript": "onnxscript", "onnxruntime": "onnxruntime"}

# All but int8 differ from PyTorch by rounding alone.
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        f.name: f
        for f in (
            Format(
                "onnx", ".onnx", "fp32", _ONNX, 0.001,
                to_onnx.write, to_onnx.run, to_onnx.read_metadata,
            ),
            Format(
                "onnx-int8", ".int8.onnx", "int8", {**_ONNX, "nncf": "nncf"}, 0.15,
                to_int8.write, to_onnx.run, to_onnx.read_metadata,
            ),
            Format(
                "openvino", ".openvino", "fp16", {"openvino": "openvino"}, 0.001,
                to_openvino.write, to_openvino.run, to_openvino.read_metadata,
            ),
            Format(
                "litert", ".tflite", "fp32", {"litert_torch": "litert-torch"}, 0.001,
                to_litert.write, to_litert.run, to_litert.read_metadata,
                " in an environment of its own, since it needs an older torch (docs/edge.md)",
            ),
            Format(
                "executorch", ".pte", "fp32", {"executorch": "executorch"}, 0.001,
                to_executorch.write, to_executorch.run, to_executorch.read_metadata,
            ),
        )
    }
)  # fmt: skip


def write_checked(
    how: Format, network: Network, path: Path, faces: torch.Tensor, calibration: Calibration
) -> float:
    """Write a network aside, compare what it computes, and only then give it its name.

    Args:
        how: the format.
        network: what to write.
        path: the file or folder, which is replaced.
        faces: float32 (N, 3, size, size), at least one, by which it is compared with PyTorch.
        calibration: how the logits are read.

    Returns:
        The largest difference of p(fake).

    Raises:
        ConversionError: it is larger than the format allows; nothing is written.
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    _remove(part)
    try:
        how.write(network, part)
        differ = compare(how.run(part), network, faces, calibration)
        if not differ <= how.limit:
            raise ConversionError(
                f"p(fake) as {how.name} is off by {differ:.3f} on {len(faces)} faces, more than "
                f"{how.limit}, so nothing was written; take another format."
            )
        if part.is_dir():
            _remove(path)
        part.replace(path)
    finally:
        _remove(part)
    return differ


@torch.inference_mode()
def compare(run: Run, network: Network, faces: torch.Tensor, calibration: Calibration) -> float:
    """The largest difference of p(fake) from PyTorch's, over faces (N, 3, size, size)."""
    wanted, found = network.module(faces).numpy(), run(faces)
    p_fake = (expit(calibration.calibrate(z.astype(np.float64))) for z in (found, wanted))
    return float(np.abs(next(p_fake) - next(p_fake)).max())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
