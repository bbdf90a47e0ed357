"""Calls of one network from many threads -> few runs of many faces each."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import numpy as np
import torch

from fakeface.models.engine import Model
from fakeface.models.tensors import join
from fakeface.types import FloatArray


class MergedModel(Model):
    """A model whose `forward` may be called by many threads, and joins what they wait for.

    While the network runs, the calls that come in wait; then one run takes all of them. So nothing
    waits for a batch to fill, and the busier the network, the larger its batches. A face gets the
    same logit as alone, but for rounding.
    """

    def __init__(self, model: Model) -> None:
        self.__dict__.update(model.__dict__)
        self._running = threading.Lock()
        self._queue = threading.Lock()
        self._waiting: list[tuple[torch.Tensor, Future[tuple[FloatArray, FloatArray]]]] = []

    def forward(self, batch: torch.Tensor) -> tuple[FloatArray, FloatArray]:
        """See `Model.forward`."""
        mine: Future[tuple[FloatArray, FloatArray]] = Future()
        with self._queue:
            self._waiting.append((batch, mine))
        with self._running:
            if not mine.done():  # else another thread's run took it along
                with self._queue:
                    taken, self._waiting = self._waiting, []
                self._run(taken)
        return mine.result()

    def _run(self, taken: list[tuple[torch.Tensor, Future[tuple[FloatArray, FloatArray]]]]) -> None:
        try:
            logits, features = super().forward(join([batch for batch, _ in taken]))
        except BaseException as error:
            for _, answer in taken:
                answer.set_exception(error)
            return
        ends = np.cumsum([len(batch) for batch, _ in taken])[:-1]
        parts = zip(taken, np.split(logits, ends), np.split(features, ends))
        for (_, answer), own_logits, own_features in parts:
            answer.set_result((own_logits, own_features))
