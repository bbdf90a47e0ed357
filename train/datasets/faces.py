"""Records -> tensors, by the same functions that serve users."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from filelock import FileLock
from torch.utils.data import DataLoader

from fakeface.faces import Detector, largest
from fakeface.files import write_atomically
from fakeface.images import decoder as images
from fakeface.models.preprocess import Preprocessing, face_region, face_tensor
from fakeface.progress import progress
from fakeface.types import RGB, Box, FloatArray
from fakeface.workers import pool as decoders
from train.augment.blend import self_blend, swap_blend
from train.augment.degrade import Augmentation, augment, jitter, move
from train.datasets.donors import Donors
from train.datasets.records import Record

Faces = dict[str, Box]  # sha256 of a file -> its largest face
_GRID = 28  # side of a mask: some cells for each place of the last map
# How much of a picture of each kind was made; of a swap or an edit nobody says where it is.
_MADE = {"photo": 0.0, "generated": 1.0}
_SAVE_EVERY = 2000  # pictures between two saves of the face cache


class Face(NamedTuple):
    """One face to learn from, or of several the same stacked.

    Attributes:
        x: (3, S, S), the network's input.
        label: a float, 1 for a fake.
        mask: (28, 28), the share of each place of the input that was made; NaN if not known.
    """

    x: torch.Tensor
    label: torch.Tensor
    mask: torch.Tensor


def face_cache(detector: Detector, folder: Path = Path("runs")) -> Path:
    """Where a detector's answers are kept for `find_faces`."""
    return folder / f"faces-{detector.name}.json"


def find_faces(records: Sequence[Record], detector: Detector, cache: Path) -> Faces:
    """The largest face of each record; records without one are absent.

    Args:
        cache: a JSON file of earlier answers of the same detector, extended by what is new. Several
            processes may use it at once.
    """
    known = _read_cache(cache)
    missing = [record for record in records if record.sha256 not in known]
    fresh: dict[str, list[int] | None] = {}
    try:
        for record in progress(missing, desc=f"faces ({detector.name})", disable=not missing):
            face = largest(detector.detect(images.decode(record.read())))
            fresh[record.sha256] = face.box.as_list() if face else None
            if len(fresh) % _SAVE_EVERY == 0:
                _extend_cache(cache, fresh)
    finally:
        if fresh:
            known = _extend_cache(cache, fresh)
    wanted = {record.sha256 for record in records}
    return {key: Box(*box) for key, box in known.items() if box is not None and key in wanted}


def _read_cache(cache: Path) -> dict[str, list[int] | None]:
    known: dict[str, list[int] | None] = json.loads(cache.read_text()) if cache.exists() else {}
    return known


def _extend_cache(cache: Path, fresh: dict[str, list[int] | None]) -> dict[str, list[int] | None]:
    """Add to the cache what is new, without losing what others added meanwhile; returns all."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(cache.with_suffix(".lock")):
        known = _read_cache(cache) | fresh
        write_atomically(cache, json.dumps(known).encode())
    return known


class FaceSet:
    """Records as faces.

    With an `augmentation`, item i is a draw that depends on (seed, i) alone, so that an epoch can
    be taken up again in its middle. A photograph then becomes a self-blended fake with the chance
    `blend`, and of these with the chance `swap` one that has the face of one of the `donors`.
    """

    def __init__(
        self,
        records: Sequence[Record],
        faces: Faces,
        how: Preprocessing,
        augmentation: Augmentation | None = None,
        seed: tuple[int, ...] = (),
        blend: float = 0.0,
        donors: Donors | None = None,
        swap: float = 0.0,
    ) -> None:
        self.records, self.faces, self.how = records, faces, how
        self.augmentation, self.seed = augmentation, seed
        self.blend, self.donors, self.swap = blend, donors, swap

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Face:
        record = self.records[index]
        image, box = images.decode(record.read()), self.faces[record.sha256]
        label, mask = record.label, _constant_mask(_MADE.get(record.kind, np.nan))
        if self.augmentation is None:
            return Face(face_tensor(image, box, self.how), torch.tensor(float(label)), mask)
        rng = np.random.default_rng((*self.seed, index))
        blended = None
        if label == 0 and self.blend and rng.random() < self.blend:
            (image, blended), label = self._blend(record, image, box, rng), 1
        box = jitter(box, self.augmentation, rng)
        if blended is not None:
            # The same draws move the mask as, just below, the picture.
            same = partial(move, how=self.augmentation, rng=copy.deepcopy(rng))
            mask = self.crop_mask(blended, box, same)
        change = partial(augment, how=self.augmentation, rng=rng)
        x = face_tensor(image, box, self.how, change)
        return Face(x, torch.tensor(float(label)), mask)

    def _blend(
        self, record: Record, image: RGB, box: Box, rng: np.random.Generator
    ) -> tuple[RGB, FloatArray]:
        donor = None
        if self.donors and rng.random() < self.swap:
            donor = self.donors.pick(record, rng)
        if self.donors is None or donor is None:
            return self_blend(image, box, rng)
        marks = self.donors.landmarks
        source = images.decode(donor.read())
        return swap_blend(image, box, marks[record.sha256], source, marks[donor.sha256], rng)

    def crop_mask(
        self, blended: FloatArray, box: Box, change: Callable[[RGB], RGB]
    ) -> torch.Tensor:
        """The blended region of a picture (H, W) as `Face.mask`."""
        at = face_region(box, blended.shape[1], blended.shape[0], self.how.margin)
        region = (blended > 0.5 * blended.max()).astype(np.uint8) * np.uint8(255)
        moved = change(region[at.y : at.y + at.h, at.x : at.x + at.w])
        small = cv2.resize(moved, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
        return torch.from_numpy(small) / 255


def _constant_mask(share: float) -> torch.Tensor:
    """A `Face.mask` that is the same at each place."""
    return torch.full((_GRID, _GRID), share)


def loader(
    dataset: FaceSet,
    batch: int,
    workers: int,
    start: int = 0,
    world: tuple[int, int] = (1, 0),
    processes: int = 0,
) -> Iterator[Face]:
    """Batches, in order, from batch `start`; their x are channels-last.

    Of `world`, how many processes divide each batch among them and which of them this is, the
    second says which part is wanted.

    Threads, since decoding and resizing leave the interpreter free; processes would take longer
    to start than a small epoch lasts, and a fork would copy OpenCV's thread pool and hang. A GPU
    asks for more than threads give, since some of a picture's work holds the interpreter: with
    `processes`, so many of them make the batches, the same ones.
    """
    cv2.setNumThreads(1)
    parts = [
        range(first, min(first + batch, len(dataset)))[world[1] :: world[0]]
        for first in range(start * batch, len(dataset), batch)
    ]
    if processes:
        yield from _in_processes(dataset, parts, processes)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Face]] = deque()
        try:
            for own in parts:
                waiting.append(pool.submit(_make, dataset, own))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _make(dataset: FaceSet, own: Sequence[int]) -> Face:
    return _stack([dataset[i] for i in own])


def _stack(faces: Sequence[Face]) -> Face:
    x, label, mask = (torch.stack(parts) for parts in zip(*faces))
    return Face(x.contiguous(memory_format=torch.channels_last), label, mask)


def _in_processes(
    dataset: FaceSet, parts: Sequence[Sequence[int]], processes: int
) -> Iterator[Face]:
    """The batches in order, from processes that are forked off one in which nothing ever ran."""
    able = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if able else "spawn")
    if able:
        context.set_forkserver_preload([__name__])  # imported once, and not by each
    yield from DataLoader(
        dataset,  # type: ignore[arg-type] # it has what a Dataset must have
        batch_sampler=[list(part) for part in parts],
        num_workers=processes,
        collate_fn=_stack,
        multiprocessing_context=context,
        worker_init_fn=_begin,
    )


def _begin(number: int) -> None:
    """In a process that makes batches: it decodes itself, and has one thread."""
    os.environ[decoders.SETTING] = "1"
    cv2.setNumThreads(1)
