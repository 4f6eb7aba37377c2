"""A template: column names in braces, filled from a row."""

from __future__ import annotations

import string
from typing import Any, NamedTuple

from engine.errors import UserError


class Filled(NamedTuple):
    """A text that knows what of it came from columns: special tokens are text there."""

    text: str
    data: tuple[tuple[int, int], ...] = ()  # where each column's value begins and ends

    def before(self, other: Filled) -> Filled:
        """The two, joined by one space."""
        start = len(self.text) + 1
        return Filled(
            f"{self.text} {other.text}", (*self.data, *((start + begin, start + end) for begin, end in other.data))
        )

    def stripped(self, *, left: str | None = "", right: str | None = "") -> Filled:
        """Without these characters at its ends; None is all white space."""
        text = self.text.lstrip(left)
        gone = len(self.text) - len(text)
        text = text.rstrip(right)
        spans = ((max(0, begin - gone), min(end - gone, len(text))) for begin, end in self.data)
        return Filled(text, tuple((begin, end) for begin, end in spans if begin < end))


class Template:
    """Text with `{column}` fields; one that `varies` must have at least one."""

    def __init__(self, key: str, text: str, *, varies: bool) -> None:
        self._parts: list[tuple[str, str | None]] = []
        try:
            for literal, column, spec, conversion in string.Formatter().parse(text):
                if column == "" or spec or conversion:
                    raise ValueError("a field is a column's name in braces, as in {sentence}")
                self._parts.append((literal, column))
        except ValueError as error:
            raise UserError(f"{key}: {text!r}: {error}; write {{{{ and }}}} for plain braces") from None
        self.columns = [column for _, column in self._parts if column is not None]
        if varies and not self.columns:
            raise UserError(f"{key}: {text!r} names no column; write one in braces, as in {{sentence}}")

    def begins_with(self, text: str) -> bool:
        """Whether the template itself does, before any column; white space before it does not count."""
        literal = next((literal for literal, _ in self._parts), "")
        return literal.lstrip().startswith(text)

    def fill(self, row: dict[str, Any], where: str) -> Filled:
        """The text for one row. Raises `UserError` where a column has no value."""
        filled, data, length = [], [], 0
        for literal, column in self._parts:
            filled.append(literal)
            length += len(literal)
            if column is not None:
                if row[column] is None:
                    raise UserError(f"{where}: column '{column}' has no text; mend or remove the row")
                value = str(row[column]).strip()
                filled.append(value)
                data.append((length, length + len(value)))
                length += len(value)
        return Filled("".join(filled), tuple(data))
