"""The figures of the signal and their verdict, from made-up steps; and the noise, from real runtimes."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from typing import Any

import pytest

from engine.optimizer import Optimizer
from engine.preflight.open import open_run
from engine.preset.load import load
from engine.preset.method import Method
from engine.protocol.events import Step
from engine.runs.signal import WINDOW, Figures, Signal, entry_variance
from engine.tasks.batches import Batches
from engine.training.noise import Noise, measure_noise
from tests.engine.conftest import Runner, needs_vllm

RUNTIMES = [pytest.param("vllm", marks=needs_vllm), "training-loop"]


def figures(
    steps: int = 400,
    *,
    difference: float = 0.01,
    growth: float = 1.0,
    slope: float = 0.0,
    dtype: str = "bfloat16",
    kept: float | None = None,
    noise: float | None = 0.001,
) -> Figures:
    signal, chance = Signal(noise, dtype, variance=4.0), random.Random(0)
    for step in range(steps):
        loss = 0.7 + slope * step + chance.gauss(0, 0.02)
        gradient = (1 + (growth - 1) * step / steps) * chance.choice((-1, 1))
        plus, minus, told = loss + difference / 2, loss - difference / 2, kept if step % 50 == 0 else None
        signal.add(
            Step(step=step, loss_plus=plus, loss_minus=minus, projected_grad=gradient, lr=1e-3, update_kept=told)
        )
    found = signal.figures()
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"steps": 19}, "too early to tell after 19 steps"),
        (
            {"difference": 0.0005},
            "the difference between the two losses is below the noise: raise eps or use float32",
        ),
        (
            {"difference": 0.0005, "dtype": "float32"},
            "the difference between the two losses is below the noise: raise eps",
        ),
        (
            {"difference": 0.0005, "slope": 0.05},
            "the run diverges, the loss has grown",
        ),
        ({"difference": 0.0005, "kept": 0.1}, "the difference between the two losses is below the noise: raise eps or"),
        ({"kept": 0.12}, "updates are lost in rounding (update kept 12%): use model.fold=residual or float32"),
        ({"growth": 50.0}, "gradients have grown 12-fold: lower the learning rate"),
        ({"slope": 0.0005}, "the loss rises: lower the learning rate"),
        ({"difference": 0.002}, "the difference between the two losses is hardly above the noise (2.0 times): raise"),
        ({"slope": -0.0005}, "the loss does fall"),
        ({"slope": -0.0005, "noise": None}, "the loss does fall"),
        ({"kept": 0.99}, "nothing stands in the way"),
    ],
)
def test_the_verdict_names_what_is_worst(settings: dict[str, Any], text: str) -> None:
    assert figures(**settings).verdict.text.startswith(text)


def test_the_figures_are_those_of_the_steps() -> None:
    found = figures(difference=0.01, growth=3.0, slope=-0.001, kept=0.98)
    assert (found.steps, found.window, found.update_kept) == (400, WINDOW, 0.98)
    assert found.difference == pytest.approx(0.01) and found.ratio == pytest.approx(10) and found.below_noise == 0
    assert found.gradient == pytest.approx(2.875, abs=0.01)
    assert found.gradient_growth == pytest.approx(2.875 / 1.125, rel=0.02)
    assert found.gradient_history == sorted(found.gradient_history) and len(found.gradient_history) == 8
    # lr |g| sqrt(variance)
    assert found.step_size == pytest.approx(1e-3 * 2.875 * 2, rel=0.01)
    assert found.trend is not None and found.trend_error is not None
    assert found.trend == pytest.approx(-0.399, abs=3 * found.trend_error)
    assert found.trend_error == pytest.approx(0.02 * math.sqrt(12 / 400), rel=0.2)


def test_the_share_of_steps_below_the_noise_is_of_the_last_window() -> None:
    signal = Signal(noise=1.0)
    for step in range(120):
        plus = 1.0 + (3.0 if step >= 110 else 0.1)
        signal.add(Step(step=step, loss_plus=plus, loss_minus=1.0, projected_grad=1.0, lr=1.0))
    found = signal.figures()
    assert found is not None and found.below_noise == pytest.approx(0.8) and found.step_size is None


def test_a_long_run_has_a_short_history_and_what_is_not_finite_is_left_out() -> None:
    assert len(figures(steps=WINDOW * 99).gradient_history) <= 40
    signal = Signal()
    signal.add(Step(step=2, loss_plus=math.nan, loss_minus=1.0, projected_grad=1.0, lr=1.0))
    signal.add(Step(step=3))
    assert signal.figures() is None


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_measuring_the_noise_changes_no_bit_of_what_follows(
    tiny_run: Runner, home: Any, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    wanted = load("tiny", tiny_run.preset.read_text(), (f"model.runtime={runtime}", "method.interval=2"))
    results = []
    for measured in (False, True):
        opened = open_run(wanted, lambda *_: None)
        method = Optimizer(wanted.method, 10, "classification")
        losses = []
        for step in range(4):
            examples = Batches(opened.task.train, 4, 0).at(step)
            if measured:
                noise = measure_noise(opened.runtime, "classification", examples, dtype="float32", queries=1)
                assert noise is not None and 0 <= noise.measured < 1e-5
                assert 1e-9 < noise.resolution < 1e-7
            result = method.step(opened.runtime, step, examples)
            losses.append((result.loss_plus, result.loss_minus, opened.runtime.score(examples)))
        results.append(losses)
        opened.runtime.close()
    assert results[0] == results[1]


class Jittery:
    """A runtime whose scores depend on how many examples it is given at once."""

    def score(self, examples: list[Any]) -> list[list[float]]:
        return [[0.01 * (len(examples) == 1), 0.0] for _ in examples]


def test_noise_is_the_largest_difference_between_two_scorings_of_a_batch() -> None:
    from engine.tasks.example import Example

    examples = [Example((n,), ((2,), (3,)), 0) for n in range(1, 5)]
    noise = measure_noise(Jittery(), "classification", examples, dtype="float32", queries=4)  # type: ignore[arg-type]
    assert noise is not None
    assert noise.measured == pytest.approx(math.log(2) - math.log(1 + math.exp(-0.01)))
    assert noise.nats == pytest.approx(noise.measured / 2)  # averaged over four queries
    one = replace(noise, sides="one")
    assert one.nats == pytest.approx(noise.measured * (5 / 8) ** 0.5)  # L(W) is the same in all four
    assert Noise(0.0, 1e-8, 1).nats == 1e-8  # never less than what the numbers can resolve
    few = measure_noise(Jittery(), "classification", examples[:1], dtype="bfloat16", queries=1)  # type: ignore[arg-type]
    assert few is not None and few.measured == 0.0
    assert few.nats == pytest.approx(2**-8 * math.log(1 + math.exp(-0.01)))


def test_a_run_that_learns_nothing_of_its_losses_is_warned_of_and_shown(tiny_run: Runner) -> None:
    """An eps so small that in bfloat16 both losses are of the same weights, give or take the rounding."""
    done = tiny_run("model.dtype=bfloat16", "method.eps=1e-8", "run.steps=50", "task.validation_examples=4")
    assert done.code == 0
    (hello,), warnings = done.of("hello"), [e["text"] for e in done.of("log") if e["level"] == "warning"]
    assert hello["noise"] > 1e-4
    assert warnings == ["step 50: the difference between the two losses is below the noise: raise eps or use float32"]
    info = json.loads((done.folder / "run.json").read_bytes())
    assert info["noise"]["nats"] == hello["noise"] == max(info["noise"]["measured"], info["noise"]["resolution"])


@pytest.mark.parametrize(
    ("keys", "variance"),
    [
        ({}, 2.0),
        ({"rank": 4}, 4.0),
        ({"rank": 4, "normalise": "rms"}, 1.0),
        ({"name": "mezo-factorized"}, 1.0),
        ({"queries": 2}, None),
        ({"name": "grzo"}, None),
        ({"name": "lozo-m"}, None),
        ({"name": "zo-muon"}, None),
        ({"name": "subzero"}, None),
    ],
)
def test_a_step_has_a_known_size_where_it_is_one_direction_of_entries_of_one_variance(
    keys: dict[str, object], variance: float | None
) -> None:
    assert entry_variance(Method(**keys)) == variance
