"""Comma-separated files and their kin, as RFC 4180 has them: a header, then rows of as many fields.

Which character delimits is told by the header: the one that gives it the columns that the preset names. A row of
another length than the header is refused, as its texts would be others than those that were meant.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.tasks.files.lines import Lines, opened
from engine.tasks.table import Check, Table, Unfit, Value, gather, text
from engine.text import listed

_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}


def columns(path: Path, wanted: Sequence[str], name: str) -> list[str]:
    """The header, cut by the delimiter that fits. Raises `UserError` where there is none."""
    return _header(path, wanted, name)[0]


def read(path: Path, wanted: Sequence[str], check: Check, name: str) -> Table:
    """The `wanted` columns, every field as it is written. Raises `UserError`."""
    header, delimiter = _header(path, wanted, name)
    check(header)
    places = {column: _place(header, column, name) for column in wanted}

    def value(row: Sequence[str], column: str) -> Value:
        return _text(row[places[column]], column)

    with opened(path, name) as lines:
        rows = _of_length(_rows(lines, delimiter, name), header, delimiter, name)
        return gather(rows, wanted, value, lambda line: f"{name}: line {line}")


def _of_length(
    rows: Iterator[tuple[int, list[str]]], header: Sequence[str], delimiter: str, name: str
) -> Iterator[tuple[int, list[str]]]:
    """The rows after the header. Raises `UserError` for one of another length."""
    next(rows)
    for line, row in rows:
        if len(row) != len(header):
            raise UserError(f"{name}: line {line}: {_lengths(row, header, delimiter)}")
        yield line, row


def _text(field: str, column: str) -> str:
    if "\0" in field:
        raise Unfit(column, "holds a NUL byte; mend or remove the row")
    return text(field, column)


def _header(path: Path, wanted: Sequence[str], name: str) -> tuple[list[str], str]:
    """The header and its delimiter: what the file's name says if that fits, else the one that does.

    Where none fits it is as the one has it that cuts most.
    """
    usual = "\t" if ".tsv" in [suffix.lower() for suffix in path.suffixes[-2:]] else ","
    found: dict[str, list[str]] = {}
    fault: UserError | None = None
    for delimiter in sorted(_DELIMITERS, key=lambda delimiter: delimiter != usual):
        try:
            with opened(path, name) as lines:
                _, header = next(_rows(lines, delimiter, name), (0, []))
        except UserError as error:  # of quotes, by a delimiter that may not be the file's
            fault = fault or error
            continue
        if set(wanted) <= set(header):
            return header, delimiter
        found[delimiter] = header
    if not found:
        assert fault
        raise fault
    best = max(found, key=lambda delimiter: len(found[delimiter]))
    if not found[best]:
        raise UserError(f"{name}: is empty; write a header and rows")
    if len(found[best]) == 1 and len(wanted) > 1:
        raise UserError(
            f"{name}: line 1: one column ({found[best][0].strip()[:80]}), not {', '.join(wanted)}; columns are "
            f"separated by {', '.join(list(_DELIMITERS.values())[:-1])} or {_DELIMITERS['|']}"
        )
    return found[best], best


def _rows(lines: Lines, delimiter: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line that each begins in, without blank lines. Raises `UserError` where quotes do not pair."""
    csv.field_size_limit(sys.maxsize)  # texts may be long
    reader: Any = csv.reader(lines, delimiter=delimiter, strict=True)
    before = 0
    while True:
        try:
            for row in reader:
                if delimiter == "\t" and reader.line_num - before > 1:
                    _check_swallowed(row, before + 1, name)
                if len(row) > 1 or lines.last.strip():
                    yield before + 1, row
                before = reader.line_num
            return
        except csv.Error as error:
            raise UserError(f"{name}: line {reader.line_num}: {_quotes(str(error), before + 1)}") from None


def _check_swallowed(row: Sequence[str], began: int, name: str) -> None:
    """Raise `UserError` for a field that holds rows: many programs write quotes into tab-separated files as text."""
    if any("\t" in field and ("\n" in field or "\r" in field) for field in row):
        raise UserError(
            f"{name}: line {began}: a quoted field of the row that begins there holds a tab and a line end, as where a "
            'quote that is text swallows rows; if it is text, put quotes around its field and write it twice (""); if '
            "it is not, save the file as CSV"
        )


def _quotes(error: str, began: int) -> str:
    if "unexpected end" in error:
        return f"the file ends within a quoted field of the row that begins in line {began}; close the quote"
    if "expected after" in error:
        return (
            f"text follows a closing quote, in the row that begins in line {began}; write a quote within a quoted "
            'field twice ("")'
        )
    if "new-line character" in error:
        return "a carriage return in a field without quotes; put quotes around the field"
    return f"cannot be read ({error})"


def _place(header: Sequence[str], column: str, name: str) -> int:
    if header.count(column) > 1:
        raise UserError(f"{name}: line 1: two columns are called '{column}'; rename one")
    return header.index(column)


def _lengths(row: Sequence[str], header: Sequence[str], delimiter: str) -> str:
    fact = f"{len(row)} field{'s' * (len(row) != 1)}, the header has {len(header)} ({listed(header)})"
    if len(row) > len(header):
        return f"{fact}; put quotes around a text that holds {_DELIMITERS[delimiter]}"
    return f"{fact}; every row needs a field for each, empty ones too"
