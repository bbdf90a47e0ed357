"""The pipeline: a picture and some models -> an `Analysis`."""

from __future__ import annotations

import functools
import hashlib
import time
import warnings
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeAlias, TypedDict, TypeVar, Unpack

import numpy as np

from fakeface import quality
from fakeface.crowd import FalseAlarms, judge_together
from fakeface.evidence.apart import read_evidence
from fakeface.faces import Detector, is_judgeable
from fakeface.images import decoder as images
from fakeface.models.engine import Model
from fakeface.models.preprocess import face_region
from fakeface.models.tensors import join
from fakeface.stability import COPIES, may_turn, settle, variants
from fakeface.types import (
    RGB,
    Analysis,
    Box,
    Crowd,
    Face,
    FaceReport,
    FloatArray,
    Heatmap,
    ImageError,
    Judge,
    Picture,
    Score,
    Status,
    Variant,
)

_View: TypeAlias = tuple[RGB, Sequence[Box]]  # the picture or a copy of it, and its faces there
_FACES = 16  # at a time, so that a crowd does not fill the memory
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Options(TypedDict, total=False):
    """What `analyse` may be asked for besides; see there."""

    explain: bool
    faithful: bool
    stability: bool | Literal["near"]
    provenance: bool


def _accept_old_names(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Accept the arguments `data` and `image` of 0.8.0, with a warning, until 0.11.0."""

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> _T:
        old = [name for name in ("data", "image") if name in options]
        if old:
            warnings.warn(
                f"analyse: {' and '.join(old)} will go in 0.11.0; give a Picture instead, as "
                "fakeface.read_picture makes it.",
                DeprecationWarning,
                stacklevel=2,
            )
            data, *rest = (options.pop("data"), *args) if "data" in options else args
            image = options.pop("image", None)
            if image is not None:
                read = images.read_picture(data, options.get("file", ""))
                data = replace(read, rgb=image)
            args = (data, *rest)
        return function(*args, **options)

    return call


@_accept_old_names
def analyse(
    picture: Picture | bytes,
    *,
    models: Sequence[Model],
    detector: Detector,
    file: str = "",
    explain: bool = False,
    faithful: bool = False,
    stability: bool | Literal["near"] = True,
    provenance: bool = True,
) -> Analysis:
    """Judge every face of one picture with every model.

    Args:
        picture: as `read_picture` makes it, or the bytes of a file, which are read first.
        models: at least one; the first decides the verdict on the whole picture.
        detector: see `fakeface.faces`.
        file: the name to report; empty for that of the picture.
        explain: add a heatmap for each face and model.
        faithful: measure how faithful each heatmap is, which takes seconds; see
            `fakeface.explain.faithfulness`.
        stability: score re-encoded copies too; a verdict that flips in one becomes unsure. "near"
            scores only those that may turn a verdict, for less work; see
            `fakeface.stability.may_turn`.
        provenance: look for what the file says of its own origin, which changes no score.

    Returns:
        An analysis whose status is ok or no_face.

    Raises:
        ImageError: the bytes are not a picture that can be read.
        ValueError: no model was given.
    """
    if not models:
        raise ValueError("analyse needs at least one model")
    if not isinstance(picture, Picture):
        picture = images.read_picture(picture, file)
    picture, found, too_small, looked = _look(picture, detector)
    wanted = explain or faithful
    faces, crowds = _judge(picture, found, models, wanted, faithful, stability)
    height, width = picture.rgb.shape[:2]
    return Analysis(
        file=file or picture.file,
        sha256=picture.sha256,
        status=Status.OK if found else Status.NO_FACE,
        width=width,
        height=height,
        detector=detector.name,
        models=tuple(model.name for model in models),
        faces=faces,
        provenance=read_evidence(picture.data) if provenance else (),
        judges=tuple(map(_judge_of, models)),
        date=_now(),
        too_small=too_small,
        smallest=detector.smallest(picture.rgb),
        crowds=crowds,
        frames=picture.frames,
        frames_looked_at=looked,
        notes=picture.notes,
    )


def _look(
    picture: Picture, detector: Detector
) -> tuple[Picture, tuple[Face, ...], tuple[Face, ...], tuple[int, ...]]:
    """Look for faces, in a moving picture until a frame has one that can be judged.

    Returns:
        The frame with the faces, else the first; its faces; those of its faces that are too small
        to judge; and which frames were looked at.
    """
    frames = chain([picture], images.later_frames(picture) if picture.frames > 1 else ())
    first: tuple[Face, ...] | None = None
    for frame in frames:
        seen, looked = detector.detect(frame.rgb), frame.looked
        able = tuple(face for face in seen if is_judgeable(face.box.w, face.box.h))
        if able:
            return frame, able, tuple(face for face in seen if face not in able), looked
        first = seen if first is None else first
    return picture, (), first or (), looked


def analyse_file(
    path: Path, *, models: Sequence[Model], detector: Detector, **options: Unpack[Options]
) -> Analysis:
    """`analyse` for a path, but what is no picture gives status unreadable and no exception."""
    names = [model.name for model in models]
    picture = read_or_report(lambda: images.read_bytes(path), str(path), names)
    if isinstance(picture, Analysis):
        return picture
    return analyse(picture, models=models, detector=detector, **options)


def read_or_report(
    read: Callable[[], bytes], file: str, models: Sequence[str]
) -> Picture | Analysis:
    """Read a picture, or make the analysis that says why it cannot be read.

    Args:
        read: gives the bytes of the file, or raises an ImageError.
        file: the name to report.
        models: the names of those that were to judge it.
    """
    data: bytes | None = None
    try:
        data = read()
        return images.read_picture(data, file)
    except ImageError as error:
        return Analysis(
            file=file,
            sha256="" if data is None else hashlib.sha256(data).hexdigest(),
            status=Status.UNREADABLE,
            models=tuple(models),
            error=str(error),
            date=_now(),
        )


def _judge_of(model: Model) -> Judge:
    """Which model it was."""
    card, limits = model.card, model.calibration
    return Judge(
        model.name,
        model.sha256,
        limits.real_below,
        limits.fake_above,
        title=model.title,
        summary=card.summary,
        terms=card.terms,
    )


def _judge(
    picture: Picture,
    found: Sequence[Face],
    models: Sequence[Model],
    explain: bool,
    faithful: bool,
    stability: bool | Literal["near"],
) -> tuple[tuple[FaceReport, ...], tuple[Crowd, ...]]:
    """The reports of all faces, and of several faces what each model says of them together."""
    if not found:
        return (), ()
    boxes = [face.box for face in found]
    tables, familiarity = _run(picture.rgb, boxes, models, stability)
    scores, heatmaps, crowds = [], [], []
    for model, (logits, seconds) in zip(models, tables):
        alarms = FalseAlarms.from_metrics(model.card.metrics, model.calibration.fake_above)
        own, crowd = judge_together([_score(model, z, seconds) for z in logits.T], alarms)
        scores.append(own)
        crowds += [crowd] if crowd else []
        if explain:
            heatmaps.append(_explain(model, picture.rgb, boxes, logits[0], faithful))
    qualities = quality.measure(picture, boxes, familiarity, [face.doubted for face in found])
    reports = (
        FaceReport(
            face,
            scores=tuple(own[i] for own in scores),
            heatmaps=tuple(own[i] for own in heatmaps),
            quality=qualities[i],
        )
        for i, face in enumerate(found)
    )
    return tuple(reports), tuple(crowds)


def _run(
    image: RGB, boxes: Sequence[Box], models: Sequence[Model], stability: bool | Literal["near"]
) -> tuple[list[tuple[FloatArray, float]], FloatArray | None]:
    """Every model on every face, in the picture and in those of its copies that are wanted.

    Returns:
        For each model the logits, float32 (1 + copies, faces), NaN where a face was not scored, and
        the seconds it took; and the out-of-distribution score of each face, if the first model has
        one.
    """
    tables, spent = [], []
    familiarity: FloatArray | None = None
    everyone = range(len(boxes)) if stability is True else ()
    wanted = [set(everyone) for _ in COPIES]
    for model in models:
        start = time.perf_counter()
        parts = [_forward(model, [(image, part)]) for part in _split(boxes)]
        logits, styles = (np.concatenate(rows) for rows in zip(*parts))
        spent.append(time.perf_counter() - start)
        table = np.full((1 + len(COPIES), len(boxes)), np.nan, np.float32)
        table[0] = logits
        tables.append(table)
        if stability == "near":
            for copy, those in zip(COPIES, wanted):
                those |= {i for i, z in enumerate(logits) if may_turn(model.card, copy, float(z))}
        if model is models[0] and model.reference:
            familiarity = model.reference.score(styles)
    margin = max(model.preprocessing.margin for model in models)
    for chosen in _split(sorted(set().union(*wanted))):
        views, places = _copies(image, boxes, margin, [own.intersection(chosen) for own in wanted])
        if not views:
            continue
        for number, model in enumerate(models):
            start = time.perf_counter()
            tables[number][places], _ = _forward(model, views)
            spent[number] += time.perf_counter() - start
    return list(zip(tables, spent)), familiarity


def _copies(
    image: RGB, boxes: Sequence[Box], margin: float, wanted: Sequence[Set[int]]
) -> tuple[list[_View], tuple[list[int], list[int]]]:
    """The copies of a picture, with those of their faces that can be judged there.

    Args:
        image: the picture.
        boxes: its faces.
        margin: see `variants`.
        wanted: for each copy which faces.

    Returns:
        The copies that have any, and for each face in them its row and column of the table.
    """
    views: list[_View] = []
    rows, columns = [], []
    for row, (copy, those) in enumerate(zip(COPIES, wanted), 1):
        if not those:
            continue
        mine = sorted(those)
        ((small, moved),) = variants(image, [boxes[i] for i in mine], margin, [copy])
        large = [(i, box) for i, box in zip(mine, moved) if is_judgeable(box.w, box.h)]
        if large:
            views.append((small, [box for _, box in large]))
            rows += [row] * len(large)
            columns += [i for i, _ in large]
    return views, (rows, columns)


def _split(items: Sequence[_T]) -> list[Sequence[_T]]:
    """At most `_FACES` at a time."""
    return [items[first : first + _FACES] for first in range(0, len(items), _FACES)]


def _forward(model: Model, views: Sequence[_View]) -> tuple[FloatArray, FloatArray]:
    """Logits (N,) and styles (N, D) of the faces of some views, in one batch."""
    return model.forward(join([model.tensor(image, b) for image, b in views if b]))


def _score(model: Model, logits: FloatArray, seconds: float) -> Score:
    """One face from its logits in the picture as it came and in its copies."""
    score = model.score(float(logits[0]))
    copies = [(how.name, model.score(float(z))) for how, z in zip(COPIES, logits[1:]) if z == z]
    judged = tuple(Variant(name, copy.p_fake, copy.verdict) for name, copy in copies)
    return replace(
        score,
        verdict=settle(score.verdict, judged),
        variants=judged,
        alone=score.verdict if judged else None,
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
