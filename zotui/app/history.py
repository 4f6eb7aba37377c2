"""A run's records as the events that wrote them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from engine.errors import UserError
from engine.journal import LineReader
from engine.messages import Eval, Step
from engine.rundir import RunDir


def past(run: RunDir, before: int) -> Iterator[Step | Eval]:
    """The steps of the journal below `before`, with the evaluations where they were taken.

    Raises `UserError` where the journal is damaged, after what could be read.
    """
    taken = evaluations(run)
    for record in run.journal():
        if record["step"] >= before:
            break
        while taken and taken[0].step <= record["step"]:
            yield taken.pop(0)
        yield as_step(record)
    yield from (evaluation for evaluation in taken if evaluation.step <= before)


def evaluations(run: RunDir) -> list[Eval]:
    """The recorded evaluations in the order of their steps; none when the file is damaged."""
    try:
        records = run.evaluations()
    except UserError:
        return []
    found = [_as_eval(record) for record in records if isinstance(record.get("metrics"), dict)]
    return sorted(found, key=lambda evaluation: evaluation.step)


def follow(run: RunDir, while_true: Callable[[], bool]) -> Iterator[list[Step]]:
    """Every step of the journal, then those appended since, each time it is asked while `while_true`.

    A line is taken once it is whole. Raises `UserError` where the journal is damaged.
    """
    reader, more = LineReader(run.journal_file), True
    while more:
        more = while_true()  # asked before reading: what was written just before the end is still read
        try:
            yield [as_step(record) for record in reader.more()]
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{run.journal_file}: holds a line that is no step; it is damaged") from None


def as_step(record: dict[str, Any]) -> Step:
    """A line of the journal as a step; what the journal does not keep is zero."""
    plus, minus = _scalar(record.get("loss_plus")), _scalar(record.get("loss_minus"))
    return Step(
        step=int(record["step"]),
        loss=(plus + minus) / 2,
        loss_plus=plus,
        loss_minus=minus,
        projected_grad=_scalar(record.get("projected_grad")),
        lr=_scalar(record.get("lr")),
        tokens=int(_scalar(record.get("tokens"), 0.0)),
        seconds=_scalar(record.get("seconds"), 0.0),
        tokens_per_s=_scalar(record.get("tokens_per_s"), 0.0),
        update_kept=record.get("update_kept"),
        update_cosine=record.get("update_cosine"),
    )


def _as_eval(record: dict[str, Any]) -> Eval:
    return Eval(
        step=int(record.get("step", 0)),
        split=str(record.get("split", "validation")),
        metrics={name: float(value) for name, value in record["metrics"].items() if value is not None},
        examples=int(record.get("examples", 0)),
        seconds=float(record.get("seconds", 0.0)),
    )


def _scalar(value: Any, missing: float = float("nan")) -> float:
    """A number of the journal; several queries are written as a list and shown as their mean."""
    if isinstance(value, list):
        numbers = [float(item) for item in value if item is not None]
        return sum(numbers) / len(numbers) if numbers else missing
    return missing if value is None else float(value)
