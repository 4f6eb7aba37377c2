"""What the loss does along a few directions of a method, on a few batches, at the weights as they are.

Directions are those that a run would draw, so that rank, law and scale of a space are in all that is measured here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.optimizer import probing_of
from engine.preset.method import Method
from engine.runtimes.base import Runtime
from engine.tasks import objective
from engine.tasks.example import Example
from engine.tasks.objective import Scores


@dataclass(frozen=True)
class Looked:
    """Losses of each direction of a step, on the examples that it is scored with: at +eps, at -eps, and at W."""

    eps: float
    plus: tuple[float, ...]
    minus: tuple[float, ...]
    base: tuple[float, ...]

    def two_sided(self) -> list[float]:
        """(L+ - L-) / (2 eps) of each."""
        return [(plus - minus) / (2 * self.eps) for plus, minus in zip(self.plus, self.minus, strict=True)]

    def one_sided(self) -> list[float]:
        """(L+ - L) / eps of each."""
        return [(plus - base) / self.eps for plus, base in zip(self.plus, self.base, strict=True)]

    def curvatures(self) -> list[float]:
        """(L+ + L- - 2 L) / eps^2 of each: Z^T H Z, H being the Hessian."""
        every = zip(self.plus, self.minus, self.base, strict=True)
        return [(plus + minus - 2 * base) / self.eps**2 for plus, minus, base in every]


class Prober:
    """Looks along the directions of a method. Moves nothing, but for what a runtime's own probing rounds."""

    def __init__(self, runtime: Runtime, method: Method, kind: objective.Objective, batch: int) -> None:
        """`batch`: examples of those that are looked along."""
        self._runtime, self._method, self._kind = runtime, method, kind
        self._probing = probing_of(method, batch)
        self.directions = self._probing.directions

    def begin(self, which: int) -> int:
        """The step whose directions come from a basis of their own, the one of that number; its V is drawn."""
        step = which * self._method.interval
        self._runtime.redraw(step)
        return step

    def look(self, step: int, eps: float, examples: Sequence[Example]) -> Looked:
        """Both sides, and the weights themselves, also of a method that scores but one side."""
        probes = self._runtime.probe(step, self._probing, eps, examples)
        plus = [probe.plus for probe in probes]
        if self._probing.sides == "two":
            minus = [probe.minus for probe in probes]
            base = [self._runtime.score(examples)] * len(probes)
        else:
            base = [probe.minus for probe in probes]
            minus = [probe.plus for probe in self._runtime.probe(step, self._probing, -eps, examples)]
        return Looked(eps, *(self._losses(examples, scores) for scores in (plus, minus, base)))

    def _losses(self, examples: Sequence[Example], scores: Sequence[Scores]) -> tuple[float, ...]:
        parts = self._probing.shard_ranges(len(examples))
        return tuple(
            objective.loss(self._kind, examples[part.start : part.stop], of_query[part.start : part.stop])
            for of_query in scores
            for part in parts
        )
