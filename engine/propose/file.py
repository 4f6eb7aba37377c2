"""A file as columns of whatever it holds, read by the reader of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from engine.errors import UserError
from engine.tasks.sources import Source, parse, read
from engine.tasks.table import Column, Table
from engine.text import listed

_NONE = "\0"  # a column that no file has
_HEADING = 60  # characters of a heading; longer ones are likely to be a row


class _Present(Exception):
    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = list(columns)


def source_of(data: str) -> Source:
    """The file. Raises `UserError` where there is none."""
    source = parse("--data", data)
    if not source.paths:
        raise UserError(f"--data: {data}: is a hub id; give a file, or copy a preset and set task.train to it")
    return source


def read_all(source: Source) -> Table:
    """All its columns. Raises `UserError` where it cannot be read, is empty or has no header."""

    def note(present: Sequence[str]) -> NoReturn:
        raise _Present(present)

    names: list[str] = []
    try:
        read(source, [_NONE], note)
    except _Present as found:
        names = found.columns
    if source.kind in (".csv", ".tsv"):
        _check_header(source, names)
    wanted = [Column(name, "anything") for name in names if name.strip()]
    if not wanted:
        raise UserError(f"{source}: has no columns that have a name")
    return read(source, wanted, lambda present: None)


def _check_header(source: Source, names: Sequence[str]) -> None:
    odd = [name for name in names if len(name) > _HEADING or name.strip().lstrip("+-").replace(".", "", 1).isdigit()]
    if odd:
        raise UserError(
            f"{source}: its first line looks like a row, not like the names of columns ({listed([odd[0][:40]])}); "
            "write a header above it"
        )
