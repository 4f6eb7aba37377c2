"""JSON Lines: an object per line. Blank lines are read over."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.tasks.files.json_values import decoder, value_of
from engine.tasks.files.lines import Lines, opened
from engine.tasks.table import Check, Table, Unfit, Value

_PEEK = 100  # rows that are looked at for columns


def columns(path: Path, name: str) -> list[str] | None:
    """The columns of the first rows, None without any. Raises `UserError` where one of them is no object."""
    with opened(path, name) as lines:
        rows = [row for _, row in islice(_rows(lines, name), _PEEK)]
    return list({column: None for row in rows for column in row}) if rows else None


def read(path: Path, wanted: Sequence[str], check: Check, name: str) -> Table:
    """The `wanted` columns. Raises `UserError`."""
    values: list[list[Value]] = [[] for _ in wanted]
    present: dict[str, None] = {}
    began = array("q")
    with opened(path, name) as lines:
        for number, row in _rows(lines, name):
            try:
                for into, column in zip(values, wanted, strict=True):
                    into.append(value_of(row, column))
            except Unfit as fault:
                raise UserError(f"{name}: line {number}: {fault}") from None
            present.update(dict.fromkeys(row))
            began.append(number)
    if began:
        check(list(present))
    return Table(dict(zip(wanted, values, strict=True)), lambda index: f"{name}: line {began[index]}")


def _rows(lines: Lines, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects with their lines."""
    decode = decoder().decode
    for number, line in enumerate(lines, 1):
        line = line.removeprefix("\ufeff")  # files that were put together have marks within
        if not line.strip(" \t\r\n"):
            continue
        try:
            row = decode(line)
        except json.JSONDecodeError as error:
            why = "a NUL byte" if "\0" in line else error.msg
            raise UserError(
                f"{name}: line {number} is not JSON ({why}, character {error.pos + 1}); write one object per line"
            ) from None
        except RecursionError:
            raise UserError(f"{name}: line {number} is nested too deeply to be read") from None
        if not isinstance(row, dict):
            raise UserError(f"{name}: line {number} is not an object; write one object per line")
        yield number, row
