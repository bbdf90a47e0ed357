"""fakeface: is this face real?

    import fakeface

    model = fakeface.load(fakeface.default())
    detector = fakeface.open_detector()
    picture = fakeface.open_picture(Path("photo.jpg"))
    analysis = fakeface.analyse(picture, models=[model], detector=detector)
    print(analysis.verdict, analysis.p_fake)

It is evidence and not proof. The names below are the public API; those that need torch are
imported when they are first used, so that `python -m fakeface --help` answers at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fakeface.types import (
    Analysis,
    Box,
    CheckpointError,
    Consensus,
    DetectorError,
    Face,
    FaceReport,
    FakefaceError,
    Finding,
    Heatmap,
    ImageError,
    Judge,
    Picture,
    Quality,
    Score,
    Status,
    Variant,
    Verdict,
)

if TYPE_CHECKING:
    from fakeface.analysis import analyse, analyse_file
    from fakeface.faces import open_detector
    from fakeface.images.decoder import decode, open_picture, read_picture
    from fakeface.models.checkpoints import default, installed, load
    from fakeface.report.overlay import overlay
    from fakeface.report.record import to_dict

__version__ = "0.10.2"

__all__ = [
    "Analysis",
    "Box",
    "CheckpointError",
    "Consensus",
    "DetectorError",
    "Face",
    "FaceReport",
    "FakefaceError",
    "Finding",
    "Heatmap",
    "ImageError",
    "Judge",
    "Picture",
    "Quality",
    "Score",
    "Status",
    "Variant",
    "Verdict",
    "analyse",
    "analyse_file",
    "decode",
    "default",
    "installed",
    "load",
    "open_detector",
    "open_picture",
    "overlay",
    "read_picture",
    "to_dict",
]

_LATER = {
    "analyse": "analysis",
    "analyse_file": "analysis",
    "decode": "images.decoder",
    "default": "models.checkpoints",
    "installed": "models.checkpoints",
    "load": "models.checkpoints",
    "open_detector": "faces",
    "open_picture": "images.decoder",
    "overlay": "report.overlay",
    "read_picture": "images.decoder",
    "to_dict": "report.record",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATER[name]}", __name__), name)
