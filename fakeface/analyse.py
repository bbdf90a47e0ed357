"""The pipeline: the bytes of one file and some models -> an `Analysis`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from . import images
from .engine import Model
from .faces import Detector
from .preprocess import face_region
from .types import RGB, Analysis, Face, FaceReport, Heatmap, ImageError, Score, Status


def analyse(
    data: bytes,
    *,
    models: Sequence[Model],
    detector: Detector,
    file: str = "",
    explain: bool = False,
) -> Analysis:
    """Judge every face of one picture with every model.

    Args:
        data: the bytes of the file, unchanged.
        models: at least one; the first decides the verdict on the whole picture.
        detector: see `fakeface.faces`.
        file: the name to report.
        explain: add a heatmap for each face and model.

    Returns:
        An analysis whose status is ok or no_face.

    Raises:
        ImageError: the bytes are not a picture that can be read.
        ValueError: no model was given.
    """
    return analyse_image(
        images.decode(data),
        sha256=hashlib.sha256(data).hexdigest(),
        models=models,
        detector=detector,
        file=file,
        explain=explain,
    )


def analyse_image(
    image: RGB,
    *,
    sha256: str,
    models: Sequence[Model],
    detector: Detector,
    file: str = "",
    explain: bool = False,
) -> Analysis:
    """`analyse` for a picture that is decoded already; `sha256` is that of its original bytes."""
    if not models:
        raise ValueError("analyse needs at least one model")
    found = detector.detect(image)
    return Analysis(
        file=file,
        sha256=sha256,
        status=Status.OK if found else Status.NO_FACE,
        width=image.shape[1],
        height=image.shape[0],
        detector=detector.name,
        models=tuple(model.name for model in models),
        faces=_judge(image, found, models, explain) if found else (),
    )


def analyse_file(
    path: Path, *, models: Sequence[Model], detector: Detector, explain: bool = False
) -> Analysis:
    """`analyse` for a path; what cannot be read gives status unreadable and no exception."""
    sha256 = ""
    try:
        data = images.read_bytes(path)
        sha256 = hashlib.sha256(data).hexdigest()
        return analyse(data, models=models, detector=detector, file=str(path), explain=explain)
    except ImageError as error:
        return Analysis(
            file=str(path),
            sha256=sha256,
            status=Status.UNREADABLE,
            detector=detector.name,
            models=tuple(model.name for model in models),
            error=str(error),
        )


def _judge(
    image: RGB, found: Sequence[Face], models: Sequence[Model], explain: bool
) -> tuple[FaceReport, ...]:
    scores: list[list[Score]] = [[] for _ in found]
    heatmaps: list[list[Heatmap]] = [[] for _ in found]
    for model in models:
        batch = model.tensor(image, [face.box for face in found])
        logits = model.logits(batch)
        maps = None
        if explain:
            from .explain import grad_cam  # here, since grad-cam takes a second to import

            maps = grad_cam(model, batch, logits)
        for i, face in enumerate(found):
            scores[i].append(model.score(float(logits[i])))
            if maps is not None:
                height, width = image.shape[:2]
                region = face_region(face.box, width, height, model.preprocessing.margin)
                heatmaps[i].append(Heatmap(model.name, region, maps[i]))
    return tuple(
        FaceReport(face, tuple(s), tuple(h)) for face, s, h in zip(found, scores, heatmaps)
    )
