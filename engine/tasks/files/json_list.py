"""A file of JSON: a list of objects, or an object that holds one (`{"data": [...]}`), or JSON Lines.

An object by itself is the one row of a file if it has every column that is asked for. Else the rows are those of the
list in it whose first row has, or of the only list of objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.tasks.files import json_lines
from engine.tasks.files.json_values import decoder, table_of
from engine.tasks.files.lines import Lines, opened
from engine.tasks.table import Check, Table, holds, source_of

_CHUNK = 2**20  # characters that are read at once
_SPACE = re.compile(r"[ \t\r\n]*")
_NEAR = 16  # characters before the end: what is wrong there may be but unfinished


def read(path: Path, wanted: Sequence[str], check: Check, name: str) -> Table:
    """The `wanted` columns. Raises `UserError`."""
    with opened(path, name) as lines:
        content = _Content(lines, name)
        first = content.next_character()
        if first == "[":
            return _table(_items(content), wanted, check, name)
        if not first:
            return _table(iter(()), wanted, check, name)
        found = content.value() if first == "{" else None
        if found is None:
            raise UserError(f"{name}: is no list of objects; write [{{...}}, {{...}}]")
        if not content.next_character():
            return _table(_of_object(found, wanted, check, name), wanted, check, name)
    return json_lines.read(path, wanted, check, name)


class _Content:
    """What is still to be read of a file, held in parts: all of it, decoded, would take many times its size."""

    def __init__(self, lines: Lines, name: str) -> None:
        self._lines, self._name = lines, name
        self._text, self._at = "", 0
        self._line = 1  # that the text at hand begins in
        self._decode = decoder().raw_decode

    def next_character(self) -> str:
        """The next character that is no space, which stays there; empty at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            assert found
            self._at = found.end()
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def skip(self) -> None:
        """Read over a character."""
        self._at += 1

    def value(self) -> Any:
        """The value that comes next. Raises `UserError` where there is none."""
        self.next_character()
        while True:
            try:
                value, self._at = self._decode(self._text, self._at)
                return value
            except json.JSONDecodeError as error:
                unfinished = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - _NEAR
                if not (unfinished and self._more()):
                    raise self.fault(error.msg, error.pos) from None
            except RecursionError:
                raise UserError(f"{self._name}: is nested too deeply to be read") from None

    def fault(self, why: str, at: int | None = None) -> UserError:
        """What to raise where this is no JSON."""
        line = self._line + self._text.count("\n", 0, self._at if at is None else at)
        return UserError(f"{self._name}: line {line} is not JSON ({why}); mend it there")

    def _more(self) -> bool:
        """Let go what was read, and read on; more than before, so that a long value is not begun too often."""
        self._line += self._text.count("\n", 0, self._at)
        self._text, self._at = self._text[self._at :], 0
        more = self._lines.read(max(_CHUNK, len(self._text)))
        self._text += more
        return bool(more)


def _table(rows: Iterator[Any], wanted: Sequence[str], check: Check, name: str) -> Table:
    return table_of(_objects(rows, name), wanted, check, lambda number: f"{name}: row {number}")


def _objects(rows: Iterator[Any], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise UserError(f"{name}: row {number} is not an object; write [{{...}}, {{...}}]")
        yield number, row


def _items(content: _Content) -> Iterator[Any]:
    """What a list holds, one by one."""
    content.skip()
    ended = content.next_character() == "]"
    while not ended:
        yield content.value()
        mark = content.next_character()
        ended = mark == "]"
        if not ended and mark != ",":
            raise content.fault("Expecting ',' or ']'" if mark else "the list does not end")
        if not ended:
            content.skip()
    content.skip()
    if content.next_character():
        raise content.fault("more after the list")


def _of_object(found: dict[str, Any], wanted: Sequence[str], check: Check, name: str) -> Iterator[Any]:

    def all_in(one: dict[str, Any]) -> bool:
        return all(source_of(column, one) for column in wanted)

    if not all_in(found):
        lists = [value for value in found.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
        whole = [value for value in lists if all_in(value[0])]
        for one in (whole, lists):
            if len(one) == 1:
                return iter(one[0])
        check(list(found))
    for column in wanted:
        if holds(column) in ("text", "anything") and isinstance(found.get(column), (list, dict)):
            raise UserError(f"{name}: holds columns, not rows; write a list of objects: [{{...}}, {{...}}]")
    return iter([found])
