"""JSON Lines: an object per line. Blank lines are read over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.tasks.files.json_values import decoder, table_of
from engine.tasks.files.lines import Lines, opened
from engine.tasks.table import Check, Table, source_of

_PEEK = 100  # rows that are looked at for columns


def columns(path: Path, wanted: Sequence[str], name: str) -> list[str] | None:
    """The columns, none if there are no rows; None where the first rows do not tell whether those `wanted` are there.

    Raises `UserError` where one of the first rows is no object.
    """
    with opened(path, name) as lines:
        rows = [row for _, row in islice(_rows(lines, name), _PEEK)]
    present = {column: None for row in rows for column in row}
    if not all(source_of(column, present) for column in wanted) and (len(rows) == _PEEK or (rows and not present)):
        return None
    return list(present)


def read(path: Path, wanted: Sequence[str], check: Check, name: str) -> Table:
    """The `wanted` columns. Raises `UserError`."""
    with opened(path, name) as lines:
        return table_of(_rows(lines, name), wanted, check, lambda number: f"{name}: line {number}")


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
