"""Which evaluation of a run is the best, and by what."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable

from engine.protocol.events import Eval

LOWER_IS_BETTER = ("loss", "perplexity")
JUDGES = ("accuracy", "f1", "loss")
"""What a run is judged by: the first that its task measures. `f1` is that of a text that is generated."""


def judge(metrics: Container[str]) -> str:
    """The metric that a run is judged by; nothing where there is none of them."""
    return next((name for name in JUDGES if name in metrics), "")


def by_weight(name: str) -> tuple[int, str]:
    """What metrics are sorted by, that which a run is judged by first."""
    return JUDGES.index(name) if name in JUDGES else len(JUDGES), name


def best_evaluation(evaluations: Iterable[Eval], metric: str | None = None) -> Eval | None:
    """The one with the best `metric`, or of what a run is judged by; of those the lowest loss, and the first of equals.

    That of the model as it came counts: where it is the best, the run only did harm. None if there is none at all.
    """
    return max(evaluations, key=lambda one: _merit(one.metrics, metric), default=None)


def least_loss(evaluations: Iterable[Eval], up_to: int) -> Eval | None:
    """What the ratchet goes back to: of the evaluations after at most so many steps the one with the lowest loss.

    The model as it came counts, and so does each that was due. Of equals it is the one after the fewest steps, in
    whatever order they were taken.
    """
    due = (one for one in evaluations if one.counts and one.step <= up_to)
    return min(due, key=lambda one: (one.metrics["loss"], one.step), default=None)


def waited(evaluations: Iterable[Eval], since: int = 0) -> int:
    """How many evaluations that were due came after the least loss, and after `since` steps: what patience counts."""
    due = [one for one in evaluations if one.counts]
    least = least_loss(due, max((one.step for one in due), default=0))
    return sum(one.step > max(least.step, since) for one in due) if least else 0


def only_harm(evaluations: Iterable[Eval]) -> bool:
    """Whether there are evaluations after the first step, and none of them is better than that before it."""
    taken = list(evaluations)
    best = best_evaluation(taken)
    return best is not None and best.step == 0 and any(one.step for one in taken)


def _merit(metrics: dict[str, float], metric: str | None) -> tuple[float, float]:
    metric = judge(metrics) if metric is None else metric
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    return sign * metrics.get(metric, -sign * math.inf), -metrics.get("loss", 0.0)
