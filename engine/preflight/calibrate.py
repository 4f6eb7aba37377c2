"""How long a run will take, from a few steps and a slice of an evaluation. Nothing of them is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import TypeVar

from engine.optimizer import Optimizer
from engine.preflight.open import load_runtime
from engine.preflight.plan import Prepared
from engine.protocol.findings import Estimate
from engine.runtimes.base import Note, Report
from engine.tasks.batches import Batches

_STEPS = 4  # the first is a warm-up
_SLICE = 64  # examples of an evaluation
_TEXTS = 16  # that are generated

_Result = TypeVar("_Result")


def calibrate(prepared: Prepared, began: float, report: Report, note: Note) -> Estimate:
    """Load the model, take the first steps, and reckon. `began` is when this process did, by the monotonic clock.

    Raises `UserError` and `NotFinite`, as the run itself would.
    """
    wanted, task = prepared.plan.wanted, prepared.task
    run, interval = wanted.run, wanted.method.interval
    runtime = load_runtime(prepared, report, note)
    try:
        start_up = time.monotonic() - began
        report("calibrating", None, "a few steps, and a slice of an evaluation")
        method = Optimizer(wanted.method, run.steps, task.objective, run.seed)
        batches = Batches.of(task.train, wanted)
        seconds_of: dict[int, float] = {}
        tokens = 0
        for step in range(_STEPS):
            now, then = map(batches.at, (step, step + 1))
            seconds_of[step], result = _timed(partial(method.step, runtime, step, now, then))
            tokens = result.tokens
        after = -(-_STEPS // interval) * interval
        fold, _ = _timed(lambda: runtime.redraw(after))
        without = [seconds for step, seconds in seconds_of.items() if step and step % interval]
        seconds = median(without) + fold / interval if without else median(list(seconds_of.values())[1:])
        part = task.validation[:_SLICE]
        runtime.score(part)  # a warm-up as well
        slice_seconds, _ = _timed(lambda: runtime.score(part))
        asked = [example.prompt for example in task.validation if example.answers]
        generating, _ = _timed(lambda: runtime.generate(asked[:_TEXTS], task.generate_tokens)) if asked else (0.0, [])
    finally:
        runtime.close()
    texts = generating * len(asked) / min(len(asked), _TEXTS) if asked else 0.0
    evaluation = slice_seconds * len(task.validation) / len(part) + texts
    evaluations = evaluations_of(run.steps, run.eval_every)
    return Estimate(
        step=seconds,
        tokens_per_s=tokens / seconds,
        evaluation=evaluation,
        evaluations=evaluations,
        start_up=start_up,
        total=start_up + run.steps * seconds + evaluations * evaluation,
    )


def evaluations_of(steps: int, every: int | None) -> int:
    """How many evaluations a run takes: before, on the way and after; the last two may be one."""
    on_the_way = steps // every if every else 0
    return 1 + on_the_way + (not every or steps % every != 0)


def _timed(act: Callable[[], _Result]) -> tuple[float, _Result]:
    began = time.perf_counter()
    result = act()
    return time.perf_counter() - began, result
