"""What is taken away from runs: their numbers as CSV or JSON, their curves as SVG or PNG. No file is overwritten."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Literal, get_args

import msgspec

from engine.errors import UserError
from engine.runs.journal import fields_of
from zotui.runs import side_by_side
from zotui.runs.curves import COLUMNS, Axis, Columns
from zotui.runs.export_charts import write_chart

Format = Literal["csv", "json", "svg", "png"]
"""csv: a row for every step; json: the steps as columns, evaluations, settings and results; svg, png: a chart."""

PROBES = ("returned_to", "losses_plus", "losses_minus")
"""What is exported of a step beside the columns of numbers.

returned_to: after how many steps the state was that the step was taken from, where a ratchet returned there.
losses_plus, losses_minus: those of every direction, a query's shards one after the other, of a step that has several;
the latter at W itself where only one side is scored. In a CSV each is a JSON list in one cell, and empty where a step
has one direction, whose losses are loss_plus and loss_minus: `frame.losses_plus.dropna().map(json.loads)` in pandas.
"""

_WHOLE = ("step", "tokens", "total_tokens")

FORMATS: tuple[Format, ...] = get_args(Format)
TEXT: tuple[Format, ...] = ("csv", "json")
"""Those that may also go to standard output."""


def export(runs: Sequence[Columns], to: Path, format: Format, axis: Axis = "step") -> None:
    """Write what the runs hold into the file `to`. Raises `UserError`, also where it is there already."""
    _check(runs)
    write: Callable[[Sequence[Columns], Path], None]
    if format in TEXT:
        write = _as_text(_json if format == "json" else _csv)
    else:

        def write(runs: Sequence[Columns], to: Path) -> None:
            write_chart(runs, to, format, axis)

    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with to.open("xb"):  # the place is taken before the work begins
            pass
    except FileExistsError:
        raise UserError(f"{to}: is there already; choose another file") from None
    except OSError as error:
        raise UserError(f"{to}: cannot be written ({error.strerror})") from None
    try:
        write(runs, to)
    except BaseException as error:
        to.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UserError(f"{to}: cannot be written ({error.strerror})") from None
        raise


def export_to(runs: Sequence[Columns], file: IO[str], format: Format) -> None:
    """Write what the runs hold, in a format of `TEXT`, into an open file. Raises `UserError`."""
    _check(runs)
    (_json if format == "json" else _csv)(runs, file)


def _check(runs: Sequence[Columns]) -> None:
    for run in runs:
        if run.fault:
            raise UserError(run.fault)
        if not len(run):
            raise UserError(f"{run.run.name}: has taken no step yet, there is nothing to export")


def as_object(runs: Sequence[Columns]) -> dict[str, object]:
    """One run as an object; several as a list of them, with what they differ in."""
    if len(runs) > 1:
        different = side_by_side.differing([side_by_side.settings(run.run) for run in runs])
        return {"differing": different, "runs": [as_object([run]) for run in runs]}
    (run,) = runs
    return {
        "run": run.run.name,
        "path": str(run.run.path),
        "settings": side_by_side.settings(run.run),
        "results": msgspec.to_builtins(side_by_side.result(run)),
        "evaluations": list(map(fields_of, run.evaluations)),
        "steps": {name: _plain(name, run.column(name)) for name in COLUMNS}
        | dict(zip(PROBES, map(list, zip(*_probes(run), strict=True)), strict=True)),
    }


def _as_text(write: Callable[[Sequence[Columns], IO[str]], object]) -> Callable[[Sequence[Columns], Path], None]:
    def into(runs: Sequence[Columns], to: Path) -> None:
        with to.open("w", newline="", encoding="utf-8") as file:
            write(runs, file)

    return into


def _json(runs: Sequence[Columns], file: IO[str]) -> None:
    file.write(msgspec.json.encode(as_object(runs)).decode() + "\n")


def _csv(runs: Sequence[Columns], file: IO[str]) -> None:
    """A row for every step; of several runs one after another, with the run's name first."""
    named = len(runs) > 1
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*(["run"] if named else []), *COLUMNS, *PROBES])
    for run in runs:
        writer.writerows([run.run.name, *row] if named else row for row in _rows(run))


def _rows(run: Columns) -> Iterator[list[object]]:
    columns = [_plain(name, run.column(name)) for name in COLUMNS]
    for values, (back, *losses) in zip(zip(*columns, strict=True), _probes(run), strict=True):
        lists = ("" if one is None else json.dumps(one) for one in losses)
        yield [*("" if value is None else value for value in (*values, back)), *lists]


def _probes(run: Columns) -> Iterator[tuple[int | None, list[float] | None, list[float] | None]]:
    """`PROBES` of every step that was read, None for what a step has not. The journal is read again, step by step."""
    returns = {one.step: one.to for one in run.returns}
    if not _has_lists(run):
        yield from ((returns.get(int(step)), None, None) for step in run.column("step"))
        return
    for step in islice(run.run.journal(), len(run)):
        lists = [list(losses) or None for losses in (step.losses_plus, step.losses_minus)]
        yield step.returned_to, lists[0], lists[1]


def _has_lists(run: Columns) -> bool:
    """Whether a step may have several directions: the first steps of a fork had other settings, and another version's
    settings are not known.
    """
    try:
        wanted = run.run.preset()
    except UserError:
        return True
    return run.run.info.read().forked_from is not None or wanted.method.directions(wanted.run.batch_size) > 1


def _plain(name: str, values: Sequence[float]) -> list[float | None]:
    """A column with None for what is not known."""
    kind = int if name in _WHOLE else float
    return [None if math.isnan(value) else kind(value) for value in values]
