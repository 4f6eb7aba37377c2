"""What is read of a source: the columns that are asked for, as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
