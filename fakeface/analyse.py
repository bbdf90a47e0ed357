"""The pipeline: the bytes of one file and some models -> an `Analysis`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias, TypedDict, Unpack

import numpy as np
import torch

from fakeface import quality
from fakeface.evidence.provenance import find
from fakeface.faces import Detector, judgeable
from fakeface.images import decoder as images
from fakeface.models.engine import Model
from fakeface.models.preprocess import face_region
from fakeface.stability import COPIES, settle, variants
from fakeface.types import (
    RGB,
    Analysis,
    Box,
    Face,
    FaceReport,
    FloatArray,
    Heatmap,
    ImageError,
    Judge,
    Score,
    Status,
    Variant,
)

_View: TypeAlias = tuple[RGB, Sequence[Box]]  # the picture or a copy of it, and its faces there
_FACES = 16  # at a time, so that a crowd does not fill the memory


class Options(TypedDict, total=False):
    """What `analyse` may be asked for besides; see there."""

    explain: bool
    faithful: bool
    stability: bool
    provenance: bool


def analyse(
    data: bytes,
    *,
    models: Sequence[Model],
    detector: Detector,
    file: str = "",
    explain: bool = False,
    faithful: bool = False,
    stability: bool = True,
    provenance: bool = True,
    image: RGB | None = None,
) -> Analysis:
    """Judge every face of one picture with every model.

    Args:
        data: the bytes of the file, unchanged.
        models: at least one; the first decides the verdict on the whole picture.
        detector: see `fakeface.faces`.
        file: the name to report.
        explain: add a heatmap for each face and model.
        faithful: measure how faithful each heatmap is, which takes seconds; see
            `fakeface.explain.faithfulness`.
        stability: score re-encoded copies too; a verdict that flips in one becomes unsure.
        provenance: look for what the file says of its own origin, which changes no score.
        image: `images.decode(data)`, by callers that have it already.

    Returns:
        An analysis whose status is ok or no_face.

    Raises:
        ImageError: the bytes are not a picture that can be read.
        ValueError: no model was given.
    """
    if not models:
        raise ValueError("analyse needs at least one model")
    if image is None:
        image = images.decode(data)
    found = detector.detect(image)
    wanted = explain or faithful
    faces = _judge(image, data, found, models, wanted, faithful, stability) if found else ()
    return Analysis(
        file=file,
        sha256=hashlib.sha256(data).hexdigest(),
        status=Status.OK if found else Status.NO_FACE,
        width=image.shape[1],
        height=image.shape[0],
        detector=detector.name,
        models=tuple(model.name for model in models),
        faces=faces,
        provenance=find(data) if provenance else (),
        judges=tuple(
            Judge(m.name, m.sha256, m.calibration.real_below, m.calibration.fake_above)
            for m in models
        ),
        date=_now(),
    )


def analyse_bytes(
    data: bytes,
    *,
    models: Sequence[Model],
    detector: Detector,
    file: str = "",
    image: RGB | None = None,
    **options: Unpack[Options],
) -> Analysis:
    """`analyse`, but what is no picture gives status unreadable and no exception."""
    try:
        return analyse(data, models=models, detector=detector, file=file, image=image, **options)
    except ImageError as error:
        names = [model.name for model in models]
        return unreadable(file, error, models=names, sha256=hashlib.sha256(data).hexdigest())


def analyse_file(
    path: Path,
    *,
    models: Sequence[Model],
    detector: Detector,
    **options: Unpack[Options],
) -> Analysis:
    """`analyse_bytes` for a path."""
    try:
        data = images.read_bytes(path)
    except ImageError as error:
        return unreadable(str(path), error, models=[model.name for model in models])
    return analyse_bytes(data, models=models, detector=detector, file=str(path), **options)


def unreadable(
    file: str, error: ImageError, *, models: Sequence[str], sha256: str = ""
) -> Analysis:
    """What there is to say of a file that is no picture, or could not be opened."""
    return Analysis(
        file=file,
        sha256=sha256,
        status=Status.UNREADABLE,
        models=tuple(models),
        error=str(error),
        date=_now(),
    )


def _judge(
    image: RGB,
    data: bytes,
    found: Sequence[Face],
    models: Sequence[Model],
    explain: bool,
    faithful: bool,
    stability: bool,
) -> tuple[FaceReport, ...]:
    boxes = [face.box for face in found]
    views: list[_View] = [(image, boxes)]
    if stability:
        views += variants(image, boxes, max(model.preprocessing.margin for model in models))
    scores, heatmaps = [], []
    familiarity: FloatArray | None = None
    for model in models:
        start = time.perf_counter()
        outputs = [_forward(model, views, first) for first in range(0, len(found), _FACES)]
        seconds = time.perf_counter() - start
        logits = np.concatenate([z for z, _ in outputs], axis=1)
        scores.append([_score(model, column, seconds) for column in logits.T])
        if model is models[0] and model.reference:
            familiarity = model.reference.familiarity(np.concatenate([f for _, f in outputs]))
        if explain:
            heatmaps.append(_explain(model, image, boxes, logits[0], faithful))
    jpeg = quality.jpeg_quality(data)
    return tuple(
        FaceReport(
            face,
            scores=tuple(own[i] for own in scores),
            heatmaps=tuple(own[i] for own in heatmaps),
            quality=quality.measure(
                image, face.box, jpeg, None if familiarity is None else float(familiarity[i])
            ),
        )
        for i, face in enumerate(found)
    )


def _forward(model: Model, views: Sequence[_View], first: int) -> tuple[FloatArray, FloatArray]:
    """Some faces, from `first` on.

    Returns:
        Logits, float32 (views, faces), NaN where a copy leaves too little of a face; and the
        features in the first view, float32 (faces, D).
    """
    shown = [(picture, boxes[first : first + _FACES]) for picture, boxes in views]
    count = len(shown[0][1])
    seen = np.array([[judgeable(box.w, box.h) for box in boxes] for _, boxes in shown])
    seen[0] = True
    tensors = [
        model.tensor(picture, [box for box, yes in zip(boxes, row) if yes])
        for (picture, boxes), row in zip(shown, seen)
        if row.any()
    ]
    table = np.full(seen.shape, np.nan, np.float32)
    table[seen], features = model.forward(torch.cat(tensors))
    return table, features[:count]


def _score(model: Model, logits: FloatArray, seconds: float) -> Score:
    """One face from its logits in the picture as it came and in its copies."""
    score = model.score(float(logits[0]))
    copies = [(how.name, model.score(float(z))) for how, z in zip(COPIES, logits[1:]) if z == z]
    seen = tuple(Variant(name, copy.p_fake, copy.verdict) for name, copy in copies)
    return replace(
        score,
        verdict=settle(score.verdict, seen),
        variants=seen,
        alone=score.verdict if seen else None,
        seconds=seconds,
    )


def _explain(
    model: Model, image: RGB, boxes: Sequence[Box], logits: FloatArray, faithful: bool
) -> list[Heatmap]:
    from fakeface.explain import (  # here, since grad-cam takes a second to import
        faithfulness,
        grad_cam,
    )

    height, width = image.shape[:2]
    out = []
    for first in range(0, len(boxes), _FACES):
        some = slice(first, first + _FACES)
        batch = model.tensor(image, boxes[some])
        maps = grad_cam(model, batch, logits[some])
        road: Sequence[tuple[float | None, float | None]] = [(None, None)] * len(maps)
        if faithful:
            road = faithfulness(model, batch, logits[some], maps)
        for box, values, numbers in zip(boxes[some], maps, road):
            region = face_region(box, width, height, model.preprocessing.margin)
            out.append(Heatmap(model.name, region, values, *numbers))
    return out


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
