"""The steps of a run as columns: what every curve, table and export of them is made of."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate, islice
from operator import attrgetter
from typing import Self

from engine.protocol.events import Returned, Step
from engine.runs.directory import RunDir
from engine.runs.journal import LineReader, misplaced

TOLD = (
    *("loss_plus", "loss_minus", "projected_grad", "lr", "eps", "tokens", "seconds"),
    *("update_kept", "update_cosine", "spread"),
)
"""What a step itself tells; the other columns follow from these."""


class Steps:
    """Steps in their order, a number for each in every column. What a step does not tell is nan.

    Besides the fields of `Step` there are the columns difference, |L+ - L-|; gradient, |projected gradient|;
    total_tokens and total_seconds, up to the end of the step; and spread, in nats: the standard deviation of L+ - L-
    over the directions of a step, with N - 1, where it has several.

    Attributes: returns, of those that were taken from an earlier state; forgotten, how often steps were dropped again.
    """

    def __init__(self) -> None:
        self._step = array("q")
        self._told = {name: array("d") for name in TOLD}
        self._derived: dict[str, array[float]] = {}
        self._newest: dict[str, tuple[int, int | None]] = {}  # up to where it was looked for, and where it was
        self.returns: list[Returned] = []
        self.forgotten = 0

    def __len__(self) -> int:
        """How many there are."""
        return len(self._step)

    def add(self, step: Step) -> None:
        """Take a step. One that was there, and those after it, are taken again."""
        self.extend([step])

    def extend(self, steps: Sequence[Step]) -> None:
        """Take steps in their order."""
        if not steps:
            return
        self.forget_from(steps[0].step)
        self._step.extend(map(attrgetter("step"), steps))
        self.returns += [
            Returned(step=one.step, to=one.returned_to, lr=one.lr) for one in steps if one.returned_to is not None
        ]
        for name, column in self._told.items():
            numbers = map(_spread if name == "spread" else attrgetter(name), steps)
            if name in ("tokens", "seconds"):  # a step takes some of both
                column.extend([number or math.nan for number in numbers])
            elif name in ("update_kept", "update_cosine"):
                column.extend([math.nan if number is None else number for number in numbers])
            else:
                column.extend(numbers)

    def join(self, later: Steps) -> None:
        """Take the steps of another."""
        if len(later):
            self.forget_from(later._step[0])
            self._step.extend(later._step)
            self.returns += later.returns
            for name, column in self._told.items():
                column.extend(later._told[name])

    def part(self, begin: int, end: int) -> Steps:
        """Those from one place up to another."""
        part = Steps()
        part._step = self._step[begin:end]
        part._told = {name: column[begin:end] for name, column in self._told.items()}
        part.returns = [one for one in self.returns if len(part) and part._step[0] <= one.step <= part._step[-1]]
        return part

    def forget_from(self, step: int) -> None:
        """Drop the steps from `step` on: a resumed engine is about to take them again."""
        if not self._step or step > self._step[-1]:
            return
        place = bisect_left(self._step, step)
        del self._step[place:]
        self.returns = [one for one in self.returns if one.step < step]
        for column in (*self._told.values(), *self._derived.values()):
            del column[place:]
        self._newest.clear()
        self.forgotten += 1

    def column(self, name: str) -> array[float] | array[int]:
        """A column by its name. It grows, so whoever keeps it in an array of another kind has to copy it."""
        if name == "step":
            return self._step
        if name in self._told:
            return self._told[name]
        column = self._derived.setdefault(name, array("d"))
        if len(column) < len(self):
            column.extend(self._derive(name, len(column)))
        return column

    def newest(self, name: str) -> int | None:
        """The place of the newest step that tells a column; None if none does."""
        column, (looked, found) = self.column(name), self._newest.get(name, (0, None))
        places = range(len(column) - 1, looked - 1, -1)
        found = next((place for place in places if not math.isnan(column[place])), found)
        self._newest[name] = len(column), found
        return found

    def _derive(self, name: str, begin: int) -> Iterable[float]:
        """A column that follows from what is told, from one place on."""
        if name == "gradient":
            return map(abs, self._told["projected_grad"][begin:])
        if name.startswith("total_"):
            parts = self._told[name.removeprefix("total_")][begin:]
            before = self._derived[name][-1] if begin else 0.0
            return islice(accumulate((0.0 if math.isnan(part) else part for part in parts), initial=before), 1, None)
        first, second = ("tokens", "seconds") if name == "tokens_per_s" else ("loss_plus", "loss_minus")
        pairs = zip(self._told[first][begin:], self._told[second][begin:], strict=True)
        if name == "tokens_per_s":
            return [tokens / seconds if seconds > 0 else math.nan for tokens, seconds in pairs]
        if name == "difference":
            return [abs(plus - minus) for plus, minus in pairs]
        if name == "loss":
            return [(plus + minus) / 2 for plus, minus in pairs]
        raise KeyError(name)

    @classmethod
    def of(cls, steps: Sequence[Step]) -> Self:
        """These."""
        made = cls()
        made.extend(steps)
        return made


def _spread(step: Step) -> float:
    """How far the probes of a step are apart; nan where there are not several."""
    plus, minus = step.losses_plus, step.losses_minus
    if len(plus) < 2 or len(plus) != len(minus):
        return math.nan
    apart = [p - m for p, m in zip(plus, minus, strict=True)]
    mean = sum(apart) / len(apart)
    return math.sqrt(sum((one - mean) * (one - mean) for one in apart) / (len(apart) - 1))


class StepReader:
    """Reads the steps of a journal, also as it grows."""

    def __init__(self, run: RunDir) -> None:
        self._file = run.journal_file
        self._lines = LineReader(self._file, Step)
        self._done = 0

    def read_into(self, steps: Steps, before: int | None = None) -> None:
        """Add the steps that were written since, of those below `before`.

        Raises `UserError` where the journal is damaged, once what comes before is there.
        """
        read: list[Step] = []
        number = self._done
        try:
            for line in self._lines.more():
                if line.step != number:
                    raise misplaced(self._file, number)
                if number == before:
                    break
                read.append(line)
                number += 1
        finally:
            self._done = number
            steps.extend(read)
