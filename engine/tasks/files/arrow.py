"""Columns of Arrow as text: of Parquet files, and of data sets of the hub.

Text and bytes that are UTF-8 are taken as they are, numbers by their shortest digits, decimals by all of theirs, dates
and times as Python writes them (`2024-01-01 12:00:00`). Whatever else a column may hold (lists, maps, pictures) is no
text; lists are read where they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow
from pyarrow import types

from engine.tasks.table import Unfit, Value, as_asked, holds, inside, of_lists, within

_CANNOT = (ValueError, OverflowError, KeyError)  # no UTF-8; outside the years 1 to 9999; a zone that nobody knows


def asked(values: Any, column: str, source: str) -> list[Value]:
    """The values of a column that is asked for, from the one that it is in. Raises `Unfit`, with its row."""
    if within(column, source) or (holds(column) != "text" and not _is_text(values.type)):
        found: list[Value] = []
        for row, value in enumerate(values.to_pylist()):
            try:
                found.append(_nested(inside(value, column, source), column))
            except Unfit as fault:
                raise Unfit(column, str(fault).removeprefix(f"column '{column}' "), row) from None
        return found
    return [of_lists(value, column) for value in texts(values, column)]


def _nested(value: Any, column: str) -> Value:
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list):  # numbers by their shortest digits, as elsewhere
        plain = [str(one) if isinstance(one, (int, float)) and not isinstance(one, bool) else one for one in value]
        return as_asked(plain, column)
    return as_asked(value, column)


def texts(values: Any, column: str) -> list[Value]:
    """The values of an `Array` or `ChunkedArray`. Raises `Unfit`, with its row, for one that is no text."""
    kind = values.type
    if isinstance(kind, pyarrow.BaseExtensionType) and _is_text(kind.storage_type):
        return texts(values.cast(kind.storage_type), column)
    if types.is_dictionary(kind):
        return texts(values.cast(kind.value_type), column)
    if _is_text(kind):
        return _decoded(values, column)
    if types.is_null(kind) or types.is_boolean(kind):
        return values.to_pylist()
    if types.is_float16(kind) or types.is_float32(kind):  # in float64 they would have digits that nobody wrote
        numbers = pyarrow.chunked_array([values]) if isinstance(values, pyarrow.Array) else values
        return [str(n) if ok.as_py() else None for n, ok in zip(numbers.to_numpy(), numbers.is_valid(), strict=True)]
    if types.is_decimal(kind):
        return [None if value is None else format(value, "f") for value in values.to_pylist()]
    if types.is_integer(kind) or types.is_floating(kind):
        return [None if value is None else str(value) for value in values.to_pylist()]
    if _is_moment(kind):
        return _each(values, column, lambda value: str(value), f"is of type {kind} and no date of a calendar")
    raise Unfit(column, f"is of type {kind}, no text; name a column of text, or write one from it")


def _is_text(kind: Any) -> bool:
    tests = (
        types.is_string, types.is_large_string, types.is_string_view, types.is_binary, types.is_large_binary,
        types.is_binary_view,
    )  # fmt: skip
    return any(test(kind) for test in tests)


def _is_moment(kind: Any) -> bool:
    return any(test(kind) for test in (types.is_date, types.is_time, types.is_timestamp))


def _decoded(values: Any, column: str) -> list[Value]:
    """Arrow trusts whoever wrote a file that its texts are UTF-8."""
    return _each(
        values,
        column,
        lambda value: value.decode() if isinstance(value, bytes) else value,
        "holds bytes that are no UTF-8",
    )


def _each(values: Any, column: str, convert: Callable[[Any], str], why: str) -> list[Value]:
    """All values by `convert`; raises `Unfit` with the row of the first for which it, or Arrow, cannot."""
    try:
        return [None if value is None else convert(value) for value in values.to_pylist()]
    except _CANNOT:
        for row, value in enumerate(values):
            try:
                if value.is_valid:
                    convert(value.as_py())
            except _CANNOT:
                raise Unfit(column, f"{why}; mend or remove the row", row) from None
        raise
