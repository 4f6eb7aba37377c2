"""Comma-separated files and their kin, as RFC 4180 has them: a header, then rows of as many fields.

Which character delimits is told by the header: the one that gives it the columns that the preset names; or by a first
line such as `sep=;`, which Excel writes and reads over. A row of
another length than the header is refused, as its texts would be others than those that were meant.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import UserError
from engine.tasks.files.lines import Lines, opened
from engine.tasks.table import Check, Table, Unfit, Value, as_list, gather, text
from engine.text import listed

_SAYS = re.compile(r'"?sep=([,;\t|])"?[\r\n]*')
_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}


class _Header(NamedTuple):
    names: list[str]
    line: int
    delimiter: str


def columns(path: Path, wanted: Sequence[str], name: str) -> list[str]:
    """The header, cut by the delimiter that fits. Raises `UserError` where there is none."""
    return _header(path, wanted, name).names


def read(path: Path, wanted: Sequence[str], check: Check, name: str) -> Table:
    """The `wanted` columns, every field as it is written. Raises `UserError`."""
    header = _header(path, wanted, name)
    check(header.names)
    places = {column: _place(header, column, name) for column in wanted}

    def value(row: Sequence[str], column: str) -> Value:
        return _text(row[places[column]], column)

    with opened(path, name) as lines:
        rows = _of_length(_rows(lines, header.delimiter, name), header, name)
        return gather(rows, wanted, value, lambda line: f"{name}: line {line}")


def _of_length(rows: Iterator[tuple[int, list[str]]], header: _Header, name: str) -> Iterator[tuple[int, list[str]]]:
    """The rows after the header. Raises `UserError` for one of another length."""
    next(rows)
    for line, row in rows:
        if len(row) != len(header.names):
            raise UserError(f"{name}: line {line}: {_lengths(row, header)}")
        yield line, row


def _text(field: str, column: str) -> Value:
    if "\0" in field:
        raise Unfit(column, "holds a NUL byte; mend or remove the row")
    return as_list(text(field, column), column)


def _header(path: Path, wanted: Sequence[str], name: str) -> _Header:
    """The header and its delimiter: what the file says, what its name says if that fits, else the one that does.

    Where none fits it is as the one has it that cuts most.
    """
    usual = "\t" if ".tsv" in [suffix.lower() for suffix in path.suffixes[-2:]] else ","
    found: list[_Header] = []
    fault: UserError | None = None
    with opened(path, name) as lines:
        said = _SAYS.fullmatch(next(iter(lines), ""))
    for delimiter in said[1] if said else sorted(_DELIMITERS, key=lambda delimiter: delimiter != usual):
        try:
            with opened(path, name) as lines:
                line, names = next(_rows(lines, delimiter, name), (0, []))
        except UserError as error:  # of quotes, by a delimiter that may not be the file's
            fault = fault or error
            continue
        found.append(_Header(names, line, delimiter))
        if set(wanted) <= set(names):
            return found[-1]
    if not found:
        assert fault
        raise fault
    best = max(found, key=lambda header: len(header.names))
    if not best.names:
        raise UserError(f"{name}: is empty; write a header and rows")
    if len(best.names) == 1 and len(wanted) > 1:
        raise UserError(
            f"{name}: line {best.line}: one column ({best.names[0].strip()[:80]}), not {', '.join(wanted)}; columns "
            f"are separated by {', '.join(list(_DELIMITERS.values())[:-1])} or {_DELIMITERS['|']}"
        )
    return best


def _rows(lines: Lines, delimiter: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line that each begins in, without blank lines and a first one that says the delimiter.

    Raises `UserError` where quotes do not pair.
    """
    given = iter(lines)
    first = next(given, "")
    skipped = _SAYS.fullmatch(first) is not None
    csv.field_size_limit(sys.maxsize)  # texts may be long
    reader: Any = csv.reader(given if skipped else chain([first], given), delimiter=delimiter, strict=True)
    before = int(skipped)
    while True:
        try:
            for row in reader:
                line = reader.line_num + skipped
                if delimiter == "\t" and line - before > 1:
                    _check_swallowed(row, before + 1, name)
                if len(row) > 1 or lines.last.strip():
                    yield before + 1, row
                before = line
            return
        except csv.Error as error:
            raise UserError(f"{name}: line {reader.line_num + skipped}: {_quotes(str(error), before + 1)}") from None


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


def _place(header: _Header, column: str, name: str) -> int:
    if header.names.count(column) > 1:
        raise UserError(f"{name}: line {header.line}: two columns are called '{column}'; rename one")
    return header.names.index(column)


def _lengths(row: Sequence[str], header: _Header) -> str:
    names = header.names
    fact = f"{len(row)} field{'s' * (len(row) != 1)}, the header has {len(names)} ({listed(names)})"
    if len(row) > len(names):
        return f"{fact}; put quotes around a text that holds {_DELIMITERS[header.delimiter]}"
    return f"{fact}; every row needs a field for each, empty ones too"
