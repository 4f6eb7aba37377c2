"""A template: column names in braces, filled from a row."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import NamedTuple

from engine.errors import UserError
from engine.tasks.text_functions import LISTED, RAW, Step, steps_of

Text = str | tuple[str, ...] | None
"""A row's value of a column: text, or a list of texts, of which a template takes the first; None is missing."""


class Filled(NamedTuple):
    """A text that knows what of it came from columns: special tokens are text there."""

    text: str
    data: tuple[tuple[int, int], ...] = ()  # where each column's value begins and ends

    def before(self, other: Filled, join: str = " ") -> Filled:
        """The two, with `join` between them."""
        start = len(self.text) + len(join)
        return Filled(
            f"{self.text}{join}{other.text}",
            (*self.data, *((start + begin, start + end) for begin, end in other.data)),
        )

    def stripped(self, *, left: str | None = "", right: str | None = "") -> Filled:
        """Without these characters at its ends; None is all white space."""
        text = self.text.lstrip(left)
        gone = len(self.text) - len(text)
        text = text.rstrip(right)
        spans = ((max(0, begin - gone), min(end - gone, len(text))) for begin, end in self.data)
        return Filled(text, tuple((begin, end) for begin, end in spans if begin < end))


class _Field(NamedTuple):
    column: str
    steps: list[Step]

    def has(self, function: str) -> bool:
        """Whether a function of this name is applied."""
        return any(step.function == function for step in self.steps)


class Template:
    """Text with `{column}` fields; one that `varies` must have at least one."""

    def __init__(self, key: str, text: str, *, varies: bool) -> None:
        self.text = text
        self._parts: list[tuple[str, _Field | None]] = []
        try:
            for literal, column, spec, conversion in string.Formatter().parse(text):
                if column == "" or conversion:
                    raise ValueError("a field is a column's name in braces, as in {sentence}")
                self._parts.append((literal, None if column is None else _Field(column, steps_of(spec or ""))))
        except ValueError as error:
            raise UserError(f"{key}: {text!r}: {error}; write {{{{ and }}}} for plain braces") from None
        fields = [field for _, field in self._parts if field is not None]
        self.columns = [
            name for field in fields for name in (field.column, *(step.column for step in field.steps)) if name
        ]
        self.lists = [field.column for field in fields if field.has(LISTED)]  # of which all elements are wanted
        if varies and not self.columns:
            raise UserError(f"{key}: {text!r} names no column; write one in braces, as in {{sentence}}")

    def begins_with(self, text: str) -> bool:
        """Whether the template itself does, before any column; white space before it does not count."""
        literal = next((literal for literal, _ in self._parts), "")
        return literal.lstrip().startswith(text)

    def fill(self, row: Mapping[str, Text], where: str) -> Filled:
        """The text for one row. Raises `UserError` where a column has no value."""
        filled, data, length = [], [], 0
        for literal, field in self._parts:
            filled.append(literal)
            length += len(literal)
            if field is not None:
                value = _text(row, field, where)
                for step in field.steps:
                    value = step.on(value, lambda column: _text(row, _Field(column, []), where))
                if not length:  # nothing begins with a space, not even what is taken as it is written
                    value = value.lstrip()
                filled.append(value)
                data.append((length, length + len(value)))
                length += len(value)
        return Filled("".join(filled), tuple(data))


def _text(row: Mapping[str, Text], field: _Field, where: str) -> str:
    value = row[field.column]
    if isinstance(value, tuple):
        value = (", ".join(value) if field.has(LISTED) else value[0]) if value else None
    if value is None:
        raise UserError(f"{where}: column '{field.column}' has no text; mend or remove the row")
    return value if field.has(RAW) else value.strip()
