"""What methods took until the mark, over seeds: medians, means and intervals, how many reached it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from zotui.headless.spread import Spread
from zotui.runs.marks import Cost, Mark, Standing


@dataclass(frozen=True)
class Outcome:
    """One run: how it ended, and what it took until the mark; None if it is not there."""

    method: str
    seed: int
    run: str  # its path
    standing: Standing
    cost: Cost | None
    best_loss: float | None = None  # of its evaluations
    error: str = ""


@dataclass(frozen=True)
class Over:
    """One figure over the seeds.

    median: with a run that did not reach the mark as infinitely dear; None where that makes it infinite. spread: mean
    and Student's interval, None unless all reached it: the mean of those that did would be of the lucky ones.
    """

    median: float | None
    spread: Spread | None


@dataclass(frozen=True)
class Figures:
    """One method. fewer_tokens, less_time: how many times, by the medians, beside the runs of the mark; in training."""

    method: str
    seeds: list[int]
    reached: list[int]  # of these
    steps: Over
    tokens: Over
    training: Over
    evaluations: Over
    whole: Over
    accuracy: Over  # at the mark
    fewer_tokens: float | None = None
    less_time: float | None = None


@dataclass(frozen=True)
class Result:
    """All there is to report. The first of `figures` is that of the mark's own runs, if `by` names them."""

    mark: Mark
    accuracy: float | None  # that goes with the mark
    by: str | None
    after: int | None  # steps of these
    figures: list[Figures]
    runs: list[Outcome]

    def methods(self) -> list[str]:
        """Their names, that of the mark's runs among them, if they are shown as a row of their own."""
        return [one.method for one in self.figures]

    def runs_of(self, method: str) -> list[str]:
        """The paths of a method's runs that have begun."""
        return [one.run for one in self.runs if one.method == method and one.best_loss is not None]


def summed_up(
    outcomes: Sequence[Outcome], mark: Mark, accuracy: float | None, by: str | None, after: int | None
) -> Result:
    """The figures of every method, in the order in which they come."""
    shown = list(outcomes)
    if by is not None:  # the same settings may be a contender as well, and are another row
        first = [index for index, one in enumerate(shown) if one.method == by][: len({one.seed for one in shown})]
        for index in first:
            one = shown[index]
            shown[index] = Outcome(f"{by}, the mark", one.seed, one.run, one.standing, one.cost, one.best_loss)
    grouped: dict[str, list[Outcome]] = {}
    for one in shown:
        grouped.setdefault(one.method, []).append(one)
    figures = [_figures(method, some) for method, some in grouped.items()]
    if by is not None:
        figures = [figures[0], *(_beside(one, figures[0]) for one in figures[1:])]
    return Result(mark, accuracy, by, after, figures, shown)


def _figures(method: str, some: Sequence[Outcome]) -> Figures:
    costs = [one.cost for one in some if one.cost is not None]

    def over(name: str) -> Over:
        return _over([getattr(cost, name) for cost in costs], len(some))

    known = all(cost.accuracy is not None for cost in costs)
    return Figures(
        method=method,
        seeds=[one.seed for one in some],
        reached=[one.seed for one in some if one.cost is not None],
        steps=over("steps"),
        tokens=over("tokens"),
        training=over("training"),
        evaluations=over("evaluations"),
        whole=over("whole"),
        accuracy=over("accuracy") if known else Over(None, None),
    )


def _over(values: Sequence[float], of: int) -> Over:
    median = statistics.median([*values, *[math.inf] * (of - len(values))])
    return Over(median if math.isfinite(median) else None, Spread.of(values) if len(values) == of else None)


def _beside(one: Figures, mark: Figures) -> Figures:
    return replace(
        one,
        fewer_tokens=_times(mark.tokens.median, one.tokens.median),
        less_time=_times(mark.training.median, one.training.median),
    )


def _times(mark: float | None, one: float | None) -> float | None:
    return mark / one if mark and one else None
