"""The networks: backbones, checkpoints, preprocessing, the engine, calibration, the model zoo."""

import sys

# OpenVINO tells its maker of each import, by this package; without it, it uses a stub of its own.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
