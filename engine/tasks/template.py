"""A template: column names in braces, filled from a row."""

from __future__ import annotations

import string
from typing import Any

from engine.errors import UserError


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

    def fill(self, row: dict[str, Any], where: str) -> str:
        """The text for one row. Raises `UserError` where a column has no value."""
        filled = []
        for literal, column in self._parts:
            filled.append(literal)
            if column is not None:
                if row[column] is None:
                    raise UserError(f"{where}: column '{column}' has no text; mend or remove the row")
                filled.append(str(row[column]).strip())
        return "".join(filled)
