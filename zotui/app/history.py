"""A run's records as what wrote them: steps in columns, since there may be very many, and evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.journal import LineReader
from engine.messages import Changed, Eval, Step
from engine.rundir import RunDir, step_of

_BATCH = 20_000  # steps that are handed over at once


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
    def recorded(cls, records: list[dict[str, Any]]) -> Steps:
        """Lines of the journal. Raises `KeyError`, `TypeError` or `ValueError` for one that is no step."""
        found = {name: _column(records, name) for name in _KEPT}
        loss = (found["loss_plus"] + found["loss_minus"]) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            speed = found["tokens"] / found["seconds"]
        speed[~np.isfinite(speed)] = math.nan
        step = np.array([int(record["step"]) for record in records], np.int64)
        return cls(step=step, loss=loss, tokens_per_s=speed, **found)


_KEPT = (
    "loss_plus",
    "loss_minus",
    "projected_grad",
    "lr",
    "tokens",
    "seconds",
    "update_kept",
    "update_cosine",
)


def past(run: RunDir, before: int) -> Iterator[Steps | Eval | Changed]:
    """The steps of the journal below `before`, with the evaluations and changes of settings where they were.

    Raises `UserError` where the journal is damaged, after what could be read.
    """
    taken = [one for one in noted(run) if one.step <= before]
    records: list[dict[str, Any]] = []
    fault: UserError | None = None
    try:
        for record in run.journal():
            if record["step"] >= before:
                break
            records.append(record)
    except UserError as error:
        fault = error
    yield from interleaved(Steps.recorded(records), taken)
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
    reader, more = LineReader(run.journal_file), True
    while more:
        more = while_true()  # asked before reading: what was written just before the end is still read
        try:
            yield Steps.recorded(list(reader.more()))
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{run.journal_file}: holds a line that is no step; it is damaged") from None


def checkpoints(run: RunDir) -> list[int]:
    """The steps at which there is a checkpoint."""
    return list(map(step_of, run.checkpoint_folders()))


def _batches(steps: Steps, begin: int, end: int) -> Iterator[Steps]:
    for start in range(begin, end, _BATCH):
        yield steps.part(start, min(end, start + _BATCH))


def _column(records: list[dict[str, Any]], name: str) -> NDArray[np.float64]:
    values = [record.get(name) for record in records]
    if any(isinstance(value, list) for value in values):
        values = [_scalar(value) for value in values]
    return np.array(values, float)  # None becomes what is not a number


def _scalar(value: Any) -> float:
    """A number of the journal; several queries are written as a list and shown as their mean."""
    if isinstance(value, list):
        numbers = [float(item) for item in value if item is not None]
        return sum(numbers) / len(numbers) if numbers else math.nan
    return math.nan if value is None else float(value)


def _as_eval(record: dict[str, Any]) -> Eval:
    return Eval(
        step=int(record.get("step", 0)),
        split=str(record.get("split", "validation")),
        metrics={name: float(value) for name, value in record["metrics"].items() if value is not None},
        examples=int(record.get("examples", 0)),
        seconds=float(record.get("seconds", 0.0)),
    )
