"""What is read of a source: the columns that are asked for, as text."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast

from engine.errors import UserError
from engine.text import listed, suggest

Row = TypeVar("Row")

Turns = tuple[tuple[str, str], ...]
"""A conversation: who speaks, and what."""

Value = str | bool | None | tuple[str, ...] | Turns
"""Text as it is written. A truth value stays one, as labels spell it in more than one way; None is missing. Lists of
texts and conversations only where they are asked for (`Column`)."""

Holds = Literal["text", "texts", "messages", "anything"]
"""What a column is asked for as; `anything` is whatever a file has there, for a look at it."""

Check = Callable[[Sequence[str]], None]
"""Told the columns that are there; raises `UserError` where one that is asked for is not."""


class Column(str):
    """A column that is asked for, by its name, and what may be in it besides text.

    `answers.text` is what the objects of a column `answers` hold under `text`, where no column has that very name.
    """

    holds: Holds

    def __new__(cls, name: str, holds: Holds) -> Column:
        column = super().__new__(cls, name)
        column.holds = holds
        return column


def holds(column: str) -> Holds:
    """What may be in a column that is asked for."""
    return column.holds if isinstance(column, Column) else "text"


def source_of(column: str, present: Iterable[str]) -> str:
    """The column in which one that is asked for is: itself, or that before a dot; empty if there is none."""
    present = set(present)
    parts = column.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if name in present), "")


def within(column: str, source: str) -> list[str]:
    """The keys that lead from the column `source` to the one that is asked for."""
    return column[len(source) + 1 :].split(".") if column != source else []


def inside(value: Any, column: str, source: str) -> Any:
    """What the value of the column `source` holds for the one that is asked for; None where it is missing.

    Raises `Unfit` where objects have no such key, with the nearest that they have.
    """
    for key in within(column, source):
        if value is None:
            return None
        if not isinstance(value, dict) or key not in value:
            has = list(value) if isinstance(value, dict) else []
            raise Unfit(column, f"is not in '{source}' (it holds {listed(has) or 'no objects'}){suggest(key, has)}")
        value = value[key]
    return value


def as_asked(value: Any, column: str) -> Value:
    """A value that a file holds as a list or an object, if it is what its column is asked for as. Raises `Unfit`."""
    wanted = holds(column)
    if wanted == "anything":
        return cast(Value, value)
    if wanted == "texts" and isinstance(value, list):
        return tuple(_element(one, column) for one in value)
    if wanted == "messages" and isinstance(value, list):
        return tuple(_turn(one, column) for one in value)
    kind = "a list" if isinstance(value, list) else "an object"
    if wanted == "messages":
        raise Unfit(column, f"is {kind}, no conversation; write a list of {{role, content}}")
    if wanted == "texts":
        raise Unfit(column, f"is {kind}, no list of texts; name the list in it, as in {column}.text")
    raise Unfit(column, f"is {kind}, no text; name a column of text, or write one from it")


def as_list(value: Value, column: str) -> Value:
    """The same for what a text holds, in a CSV: a list is written as JSON has it."""
    if holds(column) == "text" or not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return as_asked(json.loads(value, parse_int=str, parse_float=str), column)
        except json.JSONDecodeError:
            pass
    return of_lists(value, column)


def of_lists(value: Value, column: str) -> Value:
    """A text of a file that has lists of its own: it is one text, whatever it looks like. Raises `Unfit`."""
    if holds(column) == "messages" and isinstance(value, str):
        raise Unfit(column, "is text, no conversation; write a list of {role, content}")
    return value


def _element(value: Any, column: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise Unfit(column, "is a list that holds more than texts; mend or remove the row")
    return text(value, column)


def _turn(value: Any, column: str) -> tuple[str, str]:
    if not isinstance(value, dict):
        raise Unfit(column, "is a list of other things than {role, content}; mend or remove the row")
    for key in ("role", "content"):
        if not isinstance(value.get(key), str):
            raise Unfit(column, f"has a message without a text as {key}; mend or remove the row")
    return text(value["role"], column), text(value["content"], column)


@dataclass(frozen=True)
class Table:
    """Rows by column."""

    columns: dict[str, list[Value]]
    #: The place of a row by its index, for messages: file, and line or row.
    where: Callable[[int], str]
    #: The names that the numbers of a column stand for (`ClassLabel` of `datasets`), by column.
    classes: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def row(self, index: int) -> Mapping[str, Any]:
        """A row as text, and lists of text; truth values as JSON writes them."""
        return {name: written(values[index]) for name, values in self.columns.items()}


class Unfit(Exception):
    """A value that is no text, for the reader to say where: in which `row` of what was looked at."""

    def __init__(self, column: str, why: str, row: int = 0) -> None:
        super().__init__(f"column '{column}' {why}")
        self.row = row


def gather(
    rows: Iterable[tuple[int, Row]],
    wanted: Sequence[str],
    value: Callable[[Row, str], Value],
    where: Callable[[int], str],
) -> Table:
    """A table of rows as they are read, each behind its place (a line, a row), which `where` tells people.

    `value` gives a row's value of a column, and raises `Unfit` where it is no text: raises `UserError` with its place.
    """
    values: list[list[Value]] = [[] for _ in wanted]
    places = array("q")
    for place, row in rows:
        try:
            for into, column in zip(values, wanted, strict=True):
                into.append(value(row, column))
        except Unfit as fault:
            raise UserError(f"{where(place)}: {fault}") from None
        places.append(place)
    return Table(dict(zip(wanted, values, strict=True)), lambda index: where(places[index]))


def written(value: Value) -> str | tuple[str, ...] | Turns | None:
    """A value as it is put into a prompt."""
    return ("true" if value else "false") if isinstance(value, bool) else value


def text(value: str, column: str) -> str:
    """`value`, if all of it is text. Raises `Unfit` for bytes that are not UTF-8 and halves of a character."""
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError as error:
        odd = ord(value[error.start])
        if 0xDC80 <= odd <= 0xDCFF:  # how `surrogateescape` keeps a byte
            byte = f"0x{odd - 0xDC00:02x}"
            why = f"holds a byte that is not UTF-8 ({byte}, character {error.start + 1}); save the file as UTF-8"
        else:
            why = f"holds half a character (\\u{odd:04x}, character {error.start + 1}); mend or remove the row"
        raise Unfit(column, why) from None
    return value
