"""ONNX with weights and maps in int8: a quarter of the size, for small devices and slow CPUs.

Static quantisation by NNCF: the range of each map is measured on faces of train, each channel of
the weights has a scale of its own, and the shift that rounding brings is corrected in the biases
(Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019).
"""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import Any

from train.formats import to_onnx
from train.formats.network import INPUT, ConversionError, Network


def write(network: Network, path: Path) -> None:
    """Write the network as one file: fitted to its faces, or as it was fitted, with new metadata.

    Raises:
        ConversionError: the network comes without faces, and was not fitted to these weights yet.
    """
    found = _fit(network) if len(network.faces) else _take_fitted(network)
    path.write_bytes(to_onnx.set_metadata(found, network.metadata).SerializeToString())


def _take_fitted(network: Network) -> Any:
    import onnx

    found = onnx.load_from_string(network.fitted) if network.fitted else onnx.ModelProto()
    if to_onnx.list_metadata(found).get("sha256") != network.metadata["sha256"]:
        raise ConversionError("int8 is fitted to faces of train; name them with --data MANIFEST.")
    return found


def _fit(network: Network) -> Any:
    os.environ.setdefault("NNCF_CI", "1")  # else it reports to its maker
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # of CUDA, not used
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it imports
        import nncf

        nncf.set_log_level(logging.ERROR)
        faces = network.faces
        return nncf.quantize(
            to_onnx.convert(network),
            nncf.Dataset([faces[i : i + 1] for i in range(len(faces))], lambda x: {INPUT: x}),
            preset=nncf.QuantizationPreset.MIXED,  # maps that may be negative: both ways of zero
            subset_size=len(faces),
        )
