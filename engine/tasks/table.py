"""What is read of a source: the columns that are asked for, as text."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from engine.errors import UserError

Row = TypeVar("Row")

Value = str | bool | None
"""Text as it is written. A truth value stays one, as labels spell it in more than one way; None is missing."""

Check = Callable[[Sequence[str]], None]
"""Told the columns that are there; raises `UserError` where one that is asked for is not."""


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

    def row(self, index: int) -> dict[str, str | None]:
        """A row as text; truth values as JSON writes them."""
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


def written(value: Value) -> str | None:
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
