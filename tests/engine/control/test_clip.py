"""Clipping by history: the bound, what it does to an update, and that a journal has all that it takes."""

from __future__ import annotations

import math
import random
from statistics import median
from typing import Any

import pytest

from engine.control.clip import LEAST, WINDOW, History, clipped
from engine.errors import NotFinite
from engine.optimizer import Optimizer
from engine.preset.method import Method
from engine.protocol.events import Step
from engine.runs.journal import encode_line
from engine.runtimes.base import Probe
from engine.tasks.example import Example


def test_the_bound_is_a_multiple_of_the_median_of_the_last_steps() -> None:
    random_ = random.Random(0)
    steps = [[random_.gauss(0, 10**power) for _ in range(3)] for power in (0, 3) for _ in range(WINDOW)]
    history = History()
    for count, gradients in enumerate(steps):
        bound = history.bound(3.0)
        if count < LEAST:
            assert bound == math.inf
        else:
            last = steps[max(0, count - WINDOW) : count]
            assert bound == 3 * median(median(map(abs, step)) for step in last)
        history.add(gradients)
    assert history.bound(3.0) == History(steps[-WINDOW:]).bound(3.0) == History(steps).bound(3.0)


def test_nothing_is_clipped_without_the_key_or_where_nothing_was_measured() -> None:
    assert History([[1.0]] * 50).bound(0.0) == math.inf
    assert History([[0.0]] * 50 + [[1.0]] * 20).bound(2.0) == math.inf


def test_a_gradient_keeps_its_sign() -> None:
    assert clipped((-5.0, -1.0, 0.0, 1.0, 5.0), 2.0) == (-2.0, -1.0, 0.0, 1.0, 2.0)
    assert clipped((-5.0, math.inf), math.inf) == (-5.0, math.inf)


class Told:
    """A runtime that scores the gradients that it is told, and notes the updates."""

    def __init__(self) -> None:
        self.gradients: list[float] = []
        self.updates: list[tuple[list[float], float]] = []

    def redraw(self, step: int) -> None: ...

    def replay_probe(self, *_: Any) -> None: ...

    def probe(self, *_: Any) -> list[Probe]:
        """One option, which the loss is the score of, with its sign."""
        return [Probe([[-gradient]], [[0.0]], 1) for gradient in self.gradients]

    def update(self, step: int, gradients: Any, lr: float) -> None:
        self.updates.append((list(gradients), lr))


EXAMPLE = [Example((1,), ((2,),), 0)]


@pytest.mark.parametrize("queries", [1, 2])
def test_a_step_that_was_clipped_is_done_again_from_what_is_on_record(queries: int) -> None:
    method = Optimizer(Method(eps=0.5, clip=2.0, queries=queries), 10, "lm")  # type: ignore[arg-type]
    runtime: Any = Told()
    runtime.gradients = [8.0, -0.5][:queries]
    taken = method.step(runtime, 3, EXAMPLE, bound=2.5)
    assert taken.clipped_at == 2.5
    assert tuple(method.gradients_of(taken)) == pytest.approx(runtime.gradients)  # as they were measured
    method.replay(runtime, taken)
    assert runtime.updates == [([2.5, -0.5][:queries], 1e-6)] * 2
    runtime.gradients = [1.0, 1.0][:queries]
    plain = method.step(runtime, 4, EXAMPLE, bound=2.5)
    assert plain.clipped_at is None and b"clipped_at" not in encode_line(plain)
    assert plain == method.step(runtime, 4, EXAMPLE)


def test_a_gradient_that_no_number_holds_is_not_clipped_but_refused() -> None:
    method = Optimizer(Method(eps=1e-30, lr=1e-30), 10, "lm")  # type: ignore[arg-type]
    runtime: Any = Told()
    runtime.gradients = [1e300]
    with pytest.raises(NotFinite, match="too large for a number"):
        method.step(runtime, 3, EXAMPLE, bound=1.0)
    assert not runtime.updates


def test_earlier_versions_told_the_gradients_themselves() -> None:
    method = Optimizer(Method(), 10, "classification")  # type: ignore[call-arg]
    assert tuple(method.gradients_of(Step(step=0, projected_grad=3.0))) == (3.0,)
    assert tuple(method.gradients_of(Step(step=0, projected_grad=2.0, gradients=(1.0, 3.0)))) == (1.0, 3.0)
