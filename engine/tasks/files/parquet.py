"""Parquet: one file, or several that are written as one."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.errors import UserError, first_line
from engine.tasks.table import Check, Table, Unfit, Value, source_of
from engine.text import listed

_BATCH = 8192  # rows that are decoded at once

Files = Sequence[tuple[Path, str]]
"""Every file, and what messages call it."""


def columns(files: Files) -> list[str]:
    """The columns of the first file. Raises `UserError` where it is damaged."""
    path, name = files[0]
    with _read_as_parquet(path, name) as file:
        return list(file.schema_arrow.names)


def read(files: Files, wanted: Sequence[str], check: Check) -> Table:
    """The `wanted` columns of all files, one after the other. Raises `UserError`."""
    values: dict[str, list[Value]] = {column: [] for column in wanted}
    starts: list[int] = []
    classes: dict[str, list[str]] = {}
    for path, name in files:
        first = len(values[wanted[0]])
        starts.append(first)
        with _read_as_parquet(path, name) as file:
            _read_one(file, name, values, check if len(files) == 1 else _naming(name, check), first)
            found = class_names(file.schema_arrow.metadata)
            for column in values:
                names = found.get(column, [])
                if classes.setdefault(column, names) != names:
                    raise UserError(
                        f"{name}: column '{column}' has {_classes(names)}, in {files[0][1]} it has "
                        f"{_classes(classes[column])}; give files whose numbers mean the same"
                    )

    def where(index: int) -> str:
        at = bisect_right(starts, index) - 1
        return f"{files[at][1]}: row {index - starts[at] + 1}"

    return Table(values, where, classes)


def _classes(names: Sequence[str]) -> str:
    return f"classes {listed(names)}" if names else "no names of classes"


def class_names(metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    """What `datasets` writes beside a schema: the names of classes whose numbers a column holds, by column."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return {
            column: [str(name) for name in feature["names"]]
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
        }
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _read_one(file: Any, name: str, values: dict[str, list[Value]], check: Check, first: int) -> None:
    from engine.tasks.files.arrow import asked

    present = list(file.schema_arrow.names)
    check(present)
    sources = {column: source_of(column, present) for column in values}
    for column in sources.values():
        if present.count(column) > 1:
            raise UserError(f"{name}: two columns are called '{column}'; rename one")
    for batch in file.iter_batches(_BATCH, columns=list(dict.fromkeys(sources.values()))):
        for column, into in values.items():
            done = len(into) - first
            try:
                # By its very name: to ask for `a` brings `a.b` as well.
                source = sources[column]
                into += asked(batch.column(batch.schema.names.index(source)), column, source)
            except Unfit as fault:
                raise UserError(f"{name}: row {done + fault.row + 1}: {fault}") from None


def _naming(name: str, check: Check) -> Check:
    """`check`, that says in which of several files a column is missing."""

    def named(present: Sequence[str]) -> None:
        try:
            check(present)
        except UserError as error:
            raise UserError(f"{name}: {error}") from None

    return named


@contextmanager
def _read_as_parquet(path: Path, name: str) -> Iterator[Any]:
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise UserError(f"{name}: cannot be read as Parquet ({first_line(error)})") from None
