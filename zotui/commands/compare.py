"""`zotui compare`: several runs side by side, as tables or as one object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from engine.errors import UserError
from engine.runs.directory import RunDir
from engine.text import plain
from zotui.runs.curves import Columns
from zotui.runs.side_by_side import Comparison, result_rows, setting_rows
from zotui.runs.side_by_side import compare as side_by_side
from zotui.text.output import talk

Table = list[tuple[str, list[str]]]


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Names or paths.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Set runs side by side: the settings in which they differ, and their results."""
    compared = side_by_side(read_runs(runs))
    if json:
        typer.echo(plain(msgspec.json.encode(compared).decode()))
        return
    settings = setting_rows(compared.differing) or [("no setting differs", ["" for _ in compared.results])]
    for line in _table(compared, settings, result_rows(compared.results)):
        typer.echo(line)
    for one in compared.results:
        if one.fault:
            talk(f"zotui: {one.fault}")


def read_runs(names: Sequence[str]) -> list[Columns]:
    """The records of at least two different runs. Raises `UserError`."""
    found = [RunDir.find(name) for name in names]
    if len({run.path.resolve() for run in found}) < len(found) or len(found) < 2:
        raise UserError("compare: takes two runs or more, each once; `zotui list` shows them")
    curves = [Columns(run) for run in found]
    for one in curves:
        one.refresh()
    return curves


def _table(compared: Comparison, settings: Table, results: Table) -> list[str]:
    """Both tables as lines, with a column for each run."""
    names = [one.name for one in compared.results]
    rows = [("", names), *settings, ("", [""] * len(names)), *results]
    cells = [[plain(cell) for cell in (name, *row)] for name, row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
