"""JSON without guesses: numbers stay the characters that are written, a truth value is one, null is missing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from engine.tasks.table import Check, Column, Table, Unfit, Value, as_asked, gather, inside, of_lists, source_of, text


class _Doubled(dict[str, Any]):
    """An object in which a key is written twice."""

    twice: frozenset[str] = frozenset()


def decoder() -> json.JSONDecoder:
    """Of objects whose numbers are text: `1.50`, `1e5` and `NaN` as they are written."""
    return json.JSONDecoder(object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=str)


def table_of(
    objects: Iterable[tuple[int, dict[str, Any]]], wanted: Sequence[str], check: Check, where: Callable[[int], str]
) -> Table:
    """The `wanted` columns of objects, each behind its place, which `where` tells people. Raises `UserError`."""
    present: dict[str, None] = {}

    def noted() -> Iterator[tuple[int, dict[str, Any]]]:
        for place, row in objects:
            present.update(dict.fromkeys(row))
            yield place, row

    table = gather(noted(), wanted, value_of, where)
    if len(table):
        check(list(present))
    return table


def value_of(row: dict[str, Any], column: str) -> Value:
    """The value of a column, None where the row has none. Raises `Unfit` for what is not asked for."""
    value = row.get(column)
    if type(row) is _Doubled and column in row.twice:
        raise Unfit(column, "is there twice; remove one")
    if type(value) is str:
        return of_lists(text(value, column), column) if type(column) is Column else text(value, column)
    if value is None and "." in column:
        value = _inside(row, column)
    if value is None or isinstance(value, (bool, str)):
        return value
    return as_asked(value, column)


def _inside(row: dict[str, Any], column: str) -> Any:
    """What the objects of a row hold under a name with dots, as text; None where there is nothing."""
    source = source_of(column, row)
    value = inside(row[source], column, source) if source else None
    return text(value, column) if isinstance(value, str) else value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    doubled = _Doubled(found)
    doubled.twice = frozenset(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
    return doubled
