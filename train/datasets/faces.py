"""Records -> tensors, by the very functions that serve users."""

from __future__ import annotations

import copy
import json
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from tqdm import tqdm

from fakeface.faces import Detector, largest
from fakeface.images import decoder as images
from fakeface.models.preprocess import Preprocessing, face_region, face_tensor
from fakeface.types import RGB, Box, FloatArray
from train.augment.blend import self_blend
from train.augment.degrade import Augmentation, augment, jitter, move
from train.augment.resample import resample
from train.datasets.sources import Record, SourceError

Faces = dict[str, Box]  # sha256 of a file -> its largest face
_GRID = 28  # side of what is known of the place: some cells for each place of the last map
# How much of a picture of each kind was made; of a swap or an edit nobody says where it is.
_MADE = {"photo": 0.0, "generated": 1.0}


class Face(NamedTuple):
    """One face to learn from, or of several the same stacked.

    Attributes:
        x: (3, S, S), the network's input.
        label: a float, 1 for a fake.
        where: (28, 28), the share of each place of the input that was made; NaN if not known.
    """

    x: torch.Tensor
    label: torch.Tensor
    where: torch.Tensor


def only(records: Iterable[Record], sources: Collection[str]) -> list[Record]:
    """The records of these sources, to train on one pair of them alone.

    Raises:
        SourceError: a name is not that of any record's source.
    """
    records = list(records)
    unknown = sorted(set(sources) - {record.source for record in records})
    if unknown:
        raise SourceError(f"There is no source {unknown[0]!r}; see the manifest's column source.")
    return [record for record in records if record.source in sources]


def find_faces(records: Sequence[Record], detector: Detector, cache: Path) -> Faces:
    """The largest face of each record; records without one are absent.

    Args:
        cache: a JSON file of earlier answers of the same detector, extended by what is new.
    """
    known: dict[str, list[int] | None] = {}
    if cache.exists():
        known = json.loads(cache.read_text())
    missing = [record for record in records if record.sha256 not in known]
    try:
        for record in tqdm(missing, desc=f"faces ({detector.name})", disable=not missing):
            face = largest(detector.detect(images.decode(record.read())))
            known[record.sha256] = face.box.as_list() if face else None
    finally:
        if missing:
            cache.parent.mkdir(parents=True, exist_ok=True)
            part = cache.with_suffix(".part")
            part.write_text(json.dumps(known))
            part.replace(cache)
    wanted = {record.sha256 for record in records}
    return {key: Box(*box) for key, box in known.items() if box is not None and key in wanted}


class FaceSet:
    """Records as faces.

    With an `augmentation`, item i is a draw that depends on (seed, i) alone, so that an epoch can
    be taken up again in its middle. A photograph then becomes a self-blended fake with the chance
    `blend`, and a resampled one with the chance `resampled`.
    """

    def __init__(
        self,
        records: Sequence[Record],
        faces: Faces,
        how: Preprocessing,
        augmentation: Augmentation | None = None,
        seed: tuple[int, ...] = (),
        blend: float = 0.0,
        resampled: float = 0.0,
    ) -> None:
        self.records, self.faces, self.how = records, faces, how
        self.augmentation, self.seed = augmentation, seed
        self.blend, self.resampled = blend, resampled

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Face:
        record = self.records[index]
        image, box = images.decode(record.read()), self.faces[record.sha256]
        label, where = record.label, everywhere(_MADE.get(record.kind, np.nan))
        if self.augmentation is None:
            return Face(face_tensor(image, box, self.how), torch.tensor(float(label)), where)
        rng = np.random.default_rng((*self.seed, index))
        mask = None
        if label == 0 and self.blend + self.resampled:
            chance = rng.random()
            if chance < self.blend:
                (image, mask), label = self_blend(image, box, rng), 1
            elif chance < self.blend + self.resampled:
                image, label, where = resample(image, rng), 1, everywhere(1.0)
        box = jitter(box, self.augmentation, rng)
        if mask is not None:
            # The same draws move the mask as, just below, the picture.
            same = partial(move, how=self.augmentation, rng=copy.deepcopy(rng))
            where = self.place(mask, box, same)
        change = partial(augment, how=self.augmentation, rng=rng)
        x = face_tensor(image, box, self.how, change)
        return Face(x, torch.tensor(float(label)), where)

    def place(self, mask: FloatArray, box: Box, change: Callable[[RGB], RGB]) -> torch.Tensor:
        """The blended region of a picture as `Face.where`."""
        at = face_region(box, mask.shape[1], mask.shape[0], self.how.margin)
        region = (mask > 0.5 * mask.max()).astype(np.uint8) * np.uint8(255)
        moved = change(region[at.y : at.y + at.h, at.x : at.x + at.w])
        small = cv2.resize(moved, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
        return torch.from_numpy(small) / 255


def everywhere(share: float) -> torch.Tensor:
    """A `Face.where` that is the same at each place."""
    return torch.full((_GRID, _GRID), share)


def draw(
    records: Sequence[Record],
    count: int,
    swap_share: float,
    seed: tuple[int, ...],
    made_share: float = 0.0,
    by_family: bool = False,
) -> list[Record]:
    """An epoch: half photographs, half fakes, each source in proportion to the root of its size.

    The root keeps a source of thousands from drowning one of dozens, and one of dozens from being
    learnt by heart.

    Args:
        count: how many, drawn with replacement.
        swap_share: the share of face swaps among the fakes; they are another, harder task.
        made_share: the share of the fakes that will be made of photographs, which are drawn the
            more often; see `chances`.
        by_family: give every family of a class the same chance instead, and its pictures too.
    """
    parts = [(r.label, r.family if by_family else r.source) for r in records]
    sizes = Counter(parts)
    weights = np.array([sizes[part] ** (-1.0 if by_family else -0.5) for part in parts])
    label = np.array([record.label for record in records])
    swap = np.array([record.kind == "swap" for record in records])
    other = 1 - swap_share - made_share
    shares = ((label == 0, 1 + made_share), (swap, swap_share), ((label == 1) & ~swap, other))
    for members, share in shares:
        if members.any():
            weights[members] *= share / weights[members].sum()
    rng = np.random.default_rng(seed)
    picked = rng.choice(len(records), size=count, p=weights / weights.sum())
    return [records[i] for i in picked]


def chances(*made_shares: float) -> list[float]:
    """With what chance a drawn photograph becomes a fake of each kind, for half to be fakes."""
    return [share / (1 + sum(made_shares)) for share in made_shares]


def loader(
    dataset: FaceSet,
    batch: int,
    workers: int,
    start: int = 0,
    world: tuple[int, int] = (1, 0),
) -> Iterator[Face]:
    """Batches, in order, from batch `start`; their x are channels-last.

    Of `world`, how many processes divide each batch among them and which of them this is, the
    second says which part is wanted.

    Threads, since decoding and resizing leave the interpreter free; processes would take longer
    to start than a small epoch lasts, and a fork would copy OpenCV's thread pool and hang.
    """
    cv2.setNumThreads(1)

    def make(first: int) -> Face:
        own = range(first, min(first + batch, len(dataset)))[world[1] :: world[0]]
        x, label, where = (torch.stack(parts) for parts in zip(*(dataset[i] for i in own)))
        return Face(x.contiguous(memory_format=torch.channels_last), label, where)

    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Face]] = deque()
        try:
            for first in range(start * batch, len(dataset), batch):
                waiting.append(pool.submit(make, first))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
