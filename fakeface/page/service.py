"""The models and the face detector that all requests share, and the one call that uses them."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from fakeface import faces
from fakeface.analysis import analyse, read_or_report
from fakeface.evidence.apart import read_evidence
from fakeface.images import decoder
from fakeface.models import checkpoints
from fakeface.models.engine import Model
from fakeface.page import spaces
from fakeface.types import Analysis, FakefaceError, Picture

log = logging.getLogger(__name__)

# Everything that is loaded once and shared by all requests is in these two; the lock lets one
# thread load while the others wait. A failure is not kept: a repaired model needs no restart.
_loading = threading.Lock()
_model = functools.cache(checkpoints.load)
_detector = faces.DetectorSource()

Function = TypeVar("Function", bound=Callable[..., Any])


def load_tools(*names: str) -> tuple[list[Model], faces.Detector]:
    """The models of those names (empty: the default one) and the face detector, ready to use."""
    with _loading:
        return [_model(name or checkpoints.default()) for name in names or ("",)], _detector.get()


def borrow_gpu(function: Function) -> Function:
    """Run each call on a lent GPU, where the machine lends them out (ZeroGPU)."""
    lent: Function = spaces.GPU(function) if spaces else function
    return lent


def judge(picture: Picture, names: Sequence[str], **options: Any) -> Analysis:
    """What models and the file itself say of a picture; see `analysis.analyse` for the options."""
    return replace(_judge(picture, names, **options), provenance=read_evidence(picture.data))


@borrow_gpu
def _judge(picture: Picture, names: Sequence[str], **options: Any) -> Analysis:
    """What models say of a picture.

    On ZeroGPU this runs in a forked process: what it loads there is lost when the call ends, so
    `prepare` loads everything beforehand, and nothing is done here that needs no GPU.
    """
    models, detector = load_tools(*names)
    return analyse(picture, models=models, detector=detector, provenance=False, **options)


def judge_file(
    read: Callable[[], bytes], file: str, names: Sequence[str]
) -> tuple[Analysis, Picture | None]:
    """`judge` for a file; where it is no picture, the analysis says so, and None comes with it.

    Args:
        read: gives its bytes, or raises an ImageError.
        file: its name.
        names: of the models; one that cannot be loaded is an error, whatever the file is.
    """
    models, _ = load_tools(*names)
    picture = read_or_report(read, file, [model.name for model in models])
    if isinstance(picture, Analysis):
        return picture, None
    return judge(picture, names), picture


def prepare(example: Path) -> None:
    """Load what requests need before the first of them comes.

    On ZeroGPU that is every model and the detector, now, before any process is forked. Elsewhere a
    thread judges one picture with the default model, while the page starts already.

    Args:
        example: that picture.
    """
    if spaces:
        load_everything()
    else:
        threading.Thread(target=_judge_example, args=(example,), daemon=True).start()


def load_everything() -> None:
    """Load the detector, every installed model, and the code for heatmaps and groups.

    A model that cannot be loaded is logged: it must not cost the others.
    """
    import scipy.stats  # noqa: F401  (both take long, and would in each forked process anew)

    import fakeface.explain  # noqa: F401

    try:
        names = [card.name for card in checkpoints.installed()]
    except FakefaceError as error:
        log.warning("%s", error)
        return
    for name in names:
        try:
            load_tools(name)
        except FakefaceError as error:
            log.warning("%s", error)


def _judge_example(example: Path) -> None:
    try:
        judge(decoder.open_picture(example), [""], explain=True)
    except FakefaceError as error:
        log.warning("%s", error)
