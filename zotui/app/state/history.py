"""A run's records as what wrote them: steps in columns, since there may be very many, and evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from itertools import takewhile
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.protocol.events import Changed, Eval, Step
from engine.protocol.numbers import Whole
from engine.runs.directory import RunDir, step_of
from engine.runs.journal import LineReader, misplaced

_BATCH = 20_000  # steps that are handed over at once


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """A line of the journal."""

    step: Whole
    loss_plus: float = math.nan
    loss_minus: float = math.nan
    projected_grad: float = math.nan
    lr: float = math.nan
    tokens: float = math.nan
    seconds: float = math.nan
    update_kept: float = math.nan
    update_cosine: float = math.nan


_KEPT = Recorded.__struct_fields__[1:]


@dataclass(frozen=True)
class Steps:
    """Consecutive steps, field by field as `Step` has them; what is not known is not a number."""

    step: NDArray[np.int64]
    loss: NDArray[np.float64]
    loss_plus: NDArray[np.float64]
    loss_minus: NDArray[np.float64]
    projected_grad: NDArray[np.float64]
    lr: NDArray[np.float64]
    tokens: NDArray[np.float64]
    seconds: NDArray[np.float64]
    tokens_per_s: NDArray[np.float64]
    update_kept: NDArray[np.float64]
    update_cosine: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.step)

    def part(self, begin: int, end: int) -> Steps:
        """Those from one place up to another."""
        return Steps(*(getattr(self, field.name)[begin:end] for field in fields(self)))

    @classmethod
    def watched(cls, steps: list[Step]) -> Steps:
        """Steps that were events."""
        numbers = [np.array([getattr(one, field.name) for one in steps], float) for field in fields(cls)[1:]]
        return cls(np.array([one.step for one in steps], np.int64), *numbers)

    @classmethod
    def recorded(cls, lines: list[Recorded]) -> Steps:
        """Lines of the journal."""
        found = {name: np.fromiter(map(attrgetter(name), lines), float, len(lines)) for name in _KEPT}
        loss = (found["loss_plus"] + found["loss_minus"]) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            speed = found["tokens"] / found["seconds"]
        speed[~np.isfinite(speed)] = math.nan
        step = np.fromiter(map(attrgetter("step"), lines), np.int64, len(lines))
        return cls(step=step, loss=loss, tokens_per_s=speed, **found)


def past(run: RunDir, before: int) -> Iterator[Steps | Eval | Changed]:
    """The steps of the journal below `before`, with the evaluations and changes of settings where they were.

    Raises `UserError` where the journal is damaged, after what could be read.
    """
    taken = [one for one in noted(run) if one.step <= before]
    lines: list[Recorded] = []
    fault: UserError | None = None
    try:
        lines.extend(takewhile(lambda line: line.step < before, LineReader(run.journal_file, Recorded).more()))
    except UserError as error:
        fault = error
    yield from interleaved(_from(run, lines, 0), taken)
    if fault is not None:
        raise fault


def interleaved(steps: Steps, taken: Iterable[Eval | Changed]) -> Iterator[Steps | Eval | Changed]:
    """Steps and what was noted between them, in their order, the steps in batches."""
    begin = 0
    for one in taken:
        end = int(np.searchsorted(steps.step, one.step))
        yield from _batches(steps, begin, end)
        yield one
        begin = max(begin, end)
    yield from _batches(steps, begin, len(steps))


def noted(run: RunDir) -> list[Eval | Changed]:
    """The evaluations and changes on record in the order of their steps; none of a file that is damaged."""
    found: list[Eval | Changed] = []
    with suppress(UserError):
        found += [_as_eval(record) for record in run.evaluations() if isinstance(record.get("metrics"), dict)]
    with suppress(UserError, msgspec.ValidationError):
        found += [msgspec.convert(record, Changed) for record in run.changes()]
    return sorted(found, key=lambda one: one.step)


def follow(run: RunDir, while_true: Callable[[], bool]) -> Iterator[Steps]:
    """Every step of the journal, then those appended since, each time it is asked while `while_true`.

    A line is taken once it is whole. Raises `UserError` where the journal is damaged.
    """
    reader, more, done = LineReader(run.journal_file, Recorded), True, 0
    while more:
        more = while_true()  # asked before reading: what was written just before the end is still read
        steps = _from(run, list(reader.more()), done)
        yield steps
        done += len(steps)


def checkpoints(run: RunDir) -> list[int]:
    """The steps at which there is a checkpoint."""
    return list(map(step_of, run.checkpoint_folders()))


def _batches(steps: Steps, begin: int, end: int) -> Iterator[Steps]:
    for start in range(begin, end, _BATCH):
        yield steps.part(start, min(end, start + _BATCH))


def _from(run: RunDir, lines: list[Recorded], first: int) -> Steps:
    """Lines that are the steps from `first` on. Raises `UserError` if they are not."""
    steps = Steps.recorded(lines)
    other = np.flatnonzero(steps.step != np.arange(first, first + len(lines)))
    if len(other):
        raise misplaced(run.journal_file, first + int(other[0]))
    return steps


def _as_eval(record: dict[str, Any]) -> Eval:
    return Eval(
        step=int(record.get("step", 0)),
        split=str(record.get("split", "validation")),
        metrics={name: float(value) for name, value in record["metrics"].items() if value is not None},
        examples=int(record.get("examples", 0)),
        seconds=float(record.get("seconds", 0.0)),
    )
