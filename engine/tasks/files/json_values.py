"""JSON without guesses: numbers stay the characters that are written, a truth value is one, null is missing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from engine.tasks.table import Check, Table, Unfit, Value, gather, text


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
    """The value of a column, None where the row has none. Raises `Unfit` for what is no text."""
    value = row.get(column)
    if type(row) is _Doubled and column in row.twice:
        raise Unfit(column, "is there twice; remove one")
    if type(value) is str:
        return text(value, column)
    if value is None or isinstance(value, bool):
        return value
    kind = "a list" if isinstance(value, list) else "an object"
    raise Unfit(column, f"is {kind}, no text; name a column of text, or write one from it")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    doubled = _Doubled(found)
    doubled.twice = frozenset(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
    return doubled
