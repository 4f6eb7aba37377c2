"""What each column of a file is for, in a task that was made of it."""

from __future__ import annotations

from collections.abc import Sequence

from engine.preset.task import Task
from engine.propose.columns import Column, written
from engine.protocol.findings import Seen
from engine.tasks.spec import TaskSpec

_CUT = 80  # characters of a sample


def roles_in(task: Task, columns: Sequence[Column]) -> list[Seen]:
    """Every column, in the file's order."""
    asked = {str(name): key.removeprefix("task.") for name, key in TaskSpec.of(task).used.items()}
    return [
        Seen(name=str(column.name), holds=column.holds, role=_role(column.name, asked), sample=_sample(column))
        for column in columns
    ]


def _role(name: str, asked: dict[str, str]) -> str:
    return next((key for used, key in asked.items() if name == used or name.startswith(f"{used}.")), "")


def _sample(column: Column) -> str:
    first = next((value for value in column.values if value is not None), None)
    text = "" if first is None else " ".join(written(first).split())
    return text if len(text) <= _CUT else f"{text[: _CUT - 1]}…"
