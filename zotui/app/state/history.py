"""A run's records in the order of what wrote them: steps in columns, since there may be very many, and evaluations."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from engine.errors import UserError
from engine.protocol.events import Changed, Eval, Returned
from engine.runs.directory import RunDir, step_of
from zotui.runs.steps import StepReader, Steps

_BATCH = 20_000  # steps that are handed over at once


Noted = Eval | Changed | Returned
"""What is noted between steps."""


def past(run: RunDir, before: int) -> Iterator[Steps | Noted]:
    """The steps of the journal below `before`, with the evaluations, changes and returns where they were.

    Raises `UserError` where the journal is damaged, after what could be read.
    """
    taken = [one for one in noted(run) if one.step <= before]
    steps = Steps()
    fault: UserError | None = None
    try:
        StepReader(run).read_into(steps, before)
    except UserError as error:
        fault = error
    yield from interleaved(steps, taken)
    if fault is not None:
        raise fault


def interleaved(steps: Steps, taken: Iterable[Eval | Changed]) -> Iterator[Steps | Noted]:
    """Steps and what was noted between them, in their order, the steps in batches."""
    begin = 0
    between: list[Noted] = [*taken, *steps.returns]
    for one in sorted(between, key=lambda one: one.step):  # a return comes after the evaluation that it is for
        end = bisect_left(steps.column("step"), one.step)
        yield from _batches(steps, begin, end)
        yield one
        begin = max(begin, end)
    yield from _batches(steps, begin, len(steps))


def noted(run: RunDir) -> list[Eval | Changed]:
    """The evaluations and changes on record in the order of their steps; none of a file that is damaged."""
    found: list[Eval | Changed] = []
    for records in (run.evaluations, run.changes):
        with suppress(UserError):
            found += records()
    return sorted(found, key=lambda one: one.step)


def follow(run: RunDir, while_true: Callable[[], bool]) -> Iterator[Steps]:
    """Every step of the journal, then those appended since, each time it is asked while `while_true`.

    A line is taken once it is whole. Raises `UserError` where the journal is damaged, after what could be read.
    """
    reader, more = StepReader(run), True
    while more:
        more = while_true()  # asked before reading: what was written just before the end is still read
        steps, fault = Steps(), None
        try:
            reader.read_into(steps)
        except UserError as error:
            fault = error
        yield steps
        if fault is not None:
            raise fault


def checkpoints(run: RunDir) -> list[int]:
    """The steps at which there is a checkpoint."""
    return list(map(step_of, run.checkpoint_folders()))


def _batches(steps: Steps, begin: int, end: int) -> Iterator[Steps]:
    for start in range(begin, end, _BATCH):
        yield steps.part(start, min(end, start + _BATCH))
