"""Columns of choices, and the one that says which is right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from engine.errors import UserError
from engine.propose.columns import Column, written
from engine.tasks.classes import plain_number

_STEM = re.compile(r"(?P<stem>.*?)[ _-]?(?P<number>\d|[a-hA-H])")
_STEMS = (
    "",
    "choice",
    "option",
    "opt",
    "ending",
    "sol",
    "solution",
    "answer",
    "candidate",
    "alternative",
    "hypothesis",
)
_LISTS = ("choices", "options", "endings", "candidates", "alternatives", "answers", "answer_choices", "entities")
_RIGHT = (
    "label", "answer", "answers", "answer_key", "answerkey", "answer_idx", "gold", "correct", "correct_answer",
    "correct_choice", "correct_option", "right", "right_answer", "target",
)  # fmt: skip


class Choices(NamedTuple):
    """What is chosen from, and which column says what is right."""

    columns: list[Column]  # one that holds lists, or one for each choice
    right: Column
    by: str  # number, letter or text


def choices_in(columns: Sequence[Column]) -> Choices | None:
    """The choices among columns; None where there are none. Raises `UserError` where their numbers begin at 1."""
    rights = [column for column in columns if column.key.partition(".")[0] in _RIGHT]
    rights.sort(key=lambda column: _RIGHT.index(column.key.partition(".")[0]))
    fault: UserError | None = None
    for several in [*_lists(columns), *_stems(columns)]:
        for right in rights:
            if right in several:
                continue
            rows = [_of_row(several, index) for index in range(len(right.values))]
            by = _by(right, rows)
            if by == "from one":
                fault = fault or UserError(
                    f"column '{right.name}' counts the choices from 1; write their numbers from 0, or letters from A"
                )
            elif by and (by == "text" or _are_called_choices(several)):
                return Choices(several, right, by)
    if fault:
        raise fault
    return None


def _lists(columns: Sequence[Column]) -> list[list[Column]]:
    """Columns that hold a list of two or more in every row, by themselves."""
    lists = [column for column in columns if column.holds == "texts" and not column.aside]
    return [[c] for c in lists if all(isinstance(value, list) and len(value) > 1 for value in c.values)]


def _stems(columns: Sequence[Column]) -> list[list[Column]]:
    """Columns of one name with numbers or letters."""
    groups: dict[str, list[Column]] = {}
    for column in columns:
        if column.holds in ("text", "number") and (found := _STEM.fullmatch(column.key)):
            groups.setdefault(found["stem"], []).append(column)
    return [sorted(group, key=lambda column: column.key) for group in groups.values() if len(group) > 1]


def _are_called_choices(several: Sequence[Column]) -> bool:
    """Whether their names say so: a number or a letter alone may as well be the label of something else."""
    if several[0].holds == "texts":
        return several[0].key.partition(".")[0] in _LISTS
    found = _STEM.fullmatch(several[0].key)
    return found is not None and found["stem"] in _STEMS


def _of_row(several: Sequence[Column], index: int) -> list[str]:
    values: list[Any] = several[0].values[index] if several[0].holds == "texts" else [c.values[index] for c in several]
    return [written(value) for value in values]


def _by(right: Column, rows: Sequence[Sequence[str]]) -> str:
    """How a column says which choice of each row is right: by number, letter or text; empty where it does not."""
    given = [value if isinstance(value, list) else [value] for value in right.values]
    if any(value is None for some in given for value in some) or not all(given):
        return ""
    texts = [[written(value) for value in some] for some in given]
    if all(set(some) <= set(row) for some, row in zip(texts, rows, strict=True)):
        return "text"
    if right.holds == "texts":
        return ""
    numbers = [plain_number(some[0]) for some in texts]
    counts = [len(row) for row in rows]
    if all(number.isdecimal() for number in numbers):
        pairs = list(zip(map(int, numbers), counts, strict=True))
        if all(number < count for number, count in pairs):
            return "number"
        return "from one" if all(1 <= number <= count for number, count in pairs) else ""
    places = [ord(some[0].upper()) - ord("A") if len(some[0]) == 1 else -1 for some in texts]
    return "letter" if all(0 <= place < count for place, count in zip(places, counts, strict=True)) else ""
