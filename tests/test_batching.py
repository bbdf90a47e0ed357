"""Many threads share the runs of one network, and each gets its own answer."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from fakeface.models.batching import MergedModel
from fakeface.models.engine import Model
from fakeface.types import FloatArray
from tests.conftest import card, random_network


class Echo(Model):
    """Says what number each face is, once it may; notes how many faces each run has."""

    def __init__(self) -> None:
        super().__init__(card("echo"), random_network("mobilenetv2_100"), "cpu")
        self.runs: list[int] = []
        self.may_run = threading.Event()

    def forward(self, batch: torch.Tensor) -> tuple[FloatArray, FloatArray]:
        self.runs.append(len(batch))
        assert self.may_run.wait(30)
        if (batch == 99).any():
            raise MemoryError("no room")
        numbers = batch[:, 0, 0, 0].numpy()
        return numbers, np.stack([numbers, -numbers], axis=1)


class Merged(MergedModel, Echo):
    """`MergedModel` over `Echo`."""


def ask(model: Model, *numbers: int) -> tuple[list[float], list[list[float]]]:
    batch = torch.tensor(numbers, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    logits, features = model.forward(batch)
    return logits.tolist(), features.tolist()


def together(merged: Merged, questions: list[tuple[int, ...]]) -> list[object]:
    """Ask all at once: the first runs alone, and the others meanwhile wait for each other."""
    with ThreadPoolExecutor(len(questions)) as pool:
        answers = [pool.submit(ask, merged, *questions[0])]
        while not merged.runs:
            time.sleep(0.001)
        answers += [pool.submit(ask, merged, *question) for question in questions[1:]]
        while len(merged._waiting) < len(questions) - 1:
            time.sleep(0.001)
        merged.may_run.set()
        return [answer.exception() or answer.result() for answer in answers]


def test_what_waits_is_run_at_once_and_each_gets_its_own() -> None:
    merged = Merged(Echo())
    questions = [(1,), (2, 3), (4,), (5, 6, 7)]
    assert together(merged, questions) == [
        (list(question), [[number, -number] for number in question]) for question in questions
    ]
    assert merged.runs == [1, 6]


def test_an_error_is_told_to_all_whose_run_it_was() -> None:
    first, *others = together(Merged(Echo()), [(1,), (2,), (99,)])
    assert first == ([1], [[1, -1]])
    assert [type(other) for other in others] == [MemoryError, MemoryError]


def test_it_is_the_model_itself_in_all_else() -> None:
    torch.manual_seed(0)
    model = Model(card("m"), random_network("mobilenetv2_100"), "cpu")
    merged = MergedModel(model)
    assert (merged.name, merged.card, merged.network) == ("m", model.card, model.network)
    batch = torch.randn(3, 3, 96, 96)
    for own, theirs in zip(merged.forward(batch), model.forward(batch)):
        assert own == pytest.approx(theirs)
