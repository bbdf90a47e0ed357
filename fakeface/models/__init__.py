"""The networks: backbones, checkpoints, preprocessing, the engine, calibration, the model zoo."""
