"""The learning rate over a run, by the formulas that its docstring gives."""

from __future__ import annotations

import math
from typing import Any

import pytest

from engine.control.schedule import rate
from engine.preset.method import Method


def rates(steps: int, **settings: Any) -> list[float]:
    method = Method(lr=2.0, **settings)
    return [rate(method, step, steps) for step in range(steps)]


def test_constant_is_the_rate() -> None:
    assert rates(5) == [2.0] * 5


def test_linear_ends_one_step_above_nothing() -> None:
    assert rates(4, schedule="linear") == [2.0, 1.5, 1.0, 0.5]


def test_cosine_is_half_way_down_at_half_of_the_steps() -> None:
    found = rates(8, schedule="cosine")
    assert found[0] == 2.0 and found[4] == pytest.approx(1.0)
    assert found == pytest.approx([1 + math.cos(math.pi * step / 8) for step in range(8)])


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_a_warm_up_rises_in_equal_steps_to_where_the_schedule_begins(schedule: str) -> None:
    found = rates(10, schedule=schedule, warm_up=0.4)
    assert found[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    assert found[4:] == rates(6, schedule=schedule)  # as if it had begun after the warm-up


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warm_up", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_every_step_moves_the_weights(schedule: str, warm_up: float, steps: int) -> None:
    assert all(0 < found <= 2.0 for found in rates(steps, schedule=schedule, warm_up=warm_up))


def test_half_the_rate_is_half_of_every_step_bit_for_bit() -> None:
    """So that a fork, which begins with a rate that the ratchet halved, goes on as its run does."""
    for schedule in ("linear", "cosine"):
        whole, half = (
            [rate(Method(lr=lr, schedule=schedule, warm_up=0.3), step, 97) for step in range(97)]  # type: ignore[arg-type]
            for lr in (1.7e-5, 1.7e-5 / 8)
        )
        assert [one / 8 for one in whole] == half
