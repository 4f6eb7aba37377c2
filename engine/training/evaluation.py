"""An evaluation: a split scored in slices, between which the run can be told to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from engine.errors import NotFinite
from engine.runtimes.base import Runtime
from engine.tasks import objective
from engine.tasks.example import Example

_SLICE = 64  # examples scored between two looks at the requests


def evaluate(
    runtime: Runtime, kind: objective.Objective, examples: Sequence[Example], check_stop: Callable[[], None]
) -> dict[str, float]:
    """The metrics of the examples with the weights as they are. What `check_stop` raises ends it."""
    scores: objective.Scores = []
    for start in range(0, len(examples), _SLICE):
        check_stop()
        scores += runtime.score(examples[start : start + _SLICE])
    return objective.metrics(kind, examples, scores)


def refuse_not_finite(metrics: dict[str, float], steps_done: int, lr: float) -> None:
    """Raise `NotFinite` for a loss that is none."""
    if math.isfinite(metrics["loss"]):
        return
    # Before the first step it is the model itself that overflows.
    lower = f"a lower method.lr (now {lr:g}) or " if steps_done else ""
    raise NotFinite(
        f"the validation loss after {steps_done} steps is not a finite number ({metrics['loss']:.4g}); "
        f"try {lower}model.dtype=float32 in a new run"
    )
