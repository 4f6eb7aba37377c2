"""`zotui parity`: its rows and its summary, as a table."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from engine.errors import UserError
from zotui.app import run_app
from zotui.engines.parity import Comparison
from zotui.home import presets
from zotui.terminal import has_terminal

_COLUMNS = ("step", "loss plus", "reference", "loss minus", "reference", "g", "reference", "largest diff")


_WIDTHS = (6, 11, 11, 11, 11, 12, 12, 12)


class StepTimes:
    """How long the steps of both sides took, but for the first one, which also warms up."""

    def __init__(self) -> None:
        self._rows = 0
        self._taken: tuple[list[float], list[float]] = ([], [])

    def add(self, row: dict[str, Any]) -> None:
        """Take a row's times, where they are known."""
        self._rows += 1
        for taken, key in zip(self._taken, ("seconds", "reference_seconds"), strict=True):
            if row.get(key) and self._rows > 1:
                taken.append(row[key])

    def medians(self) -> tuple[float | None, float | None]:
        """Of ours and of the reference."""
        ours, theirs = (sorted(taken)[len(taken) // 2] if taken else None for taken in self._taken)
        return ours, theirs


def run_parity(comparison: Comparison, *, as_json: bool) -> int:
    """Print what a comparison finds; returns the exit code."""
    times = StepTimes()
    first = True
    try:
        for found in comparison.answers():
            if as_json:
                print(json.dumps(found), flush=True)
            elif found["type"] == "row":
                if first:
                    print(_line(_COLUMNS))
                first = False
                times.add(found)
                print(_row(found), flush=True)
            else:
                print(f"\n{_summary(found, times)}")
        return comparison.wait()
    finally:
        comparison.close()


def _row(row: dict[str, Any]) -> str:
    cells = [str(row["step"])]
    for key, digits in (("loss_plus", 7), ("loss_minus", 7), ("projected_grad", 5)):
        cells += [_number(row[key], f".{digits}f"), _number(row[f"reference_{key}"], f".{digits}f")]
    return _line((*cells, _number(row["loss_diff"], ".1e"))) + ("" if row["same_sign"] else "  other sign")


def _line(cells: Sequence[str]) -> str:
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=True))


def _number(value: float | None, form: str) -> str:
    return "not finite" if value is None else format(value, form)


def _summary(found: dict[str, Any], times: StepTimes) -> str:
    verdict = "within" if found["ok"] else "NOT within"
    lines = [
        f"{found['runtime']} against {found['reference']}: {found['steps']} steps, {verdict} {found['tolerance']:g}",
        f"largest difference of a loss         {_number(found['max_loss_diff'], '.2e')} nats",
        f"largest difference of g over its rms {_number(found['max_grad_rel_diff'], '.2e')}",
        f"same sign of g                       {found['sign_agreement']:.1%} of the steps",
    ]
    if found["first_difference"] is not None:
        lines.append(f"first step beyond the tolerance: {found['first_difference']}")
    ours, theirs = times.medians()
    if ours and theirs:
        lines.append(f"median step: {ours:.3f} s, {theirs:.3f} s on the training loop ({theirs / ours:.1f}x)")
    return "\n".join(lines)


def parity(
    source: Annotated[
        str,
        typer.Argument(
            metavar="TRAJECTORY.json|PRESET",
            help="A recording of an official trainer, or a preset to be taken by both runtimes.",
            show_default=False,
        ),
    ],
    runtime: Annotated[
        Literal["auto", "vllm", "training-loop"], typer.Option("--runtime", help="What replays a recording.")
    ] = "auto",
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="Default: all of a recording; of a preset, 20 past the first interval."),
    ] = None,
    tolerance: Annotated[float, typer.Option("--tolerance", help="Largest difference of a loss, in nats.")] = 1e-4,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the preset; may be repeated."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="Of a recording's replay: cpu, cuda, or auto.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="A JSON line for every step, and a summary.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Watch both curves, and how far apart they are.")] = False,
) -> None:
    """Take the same steps twice, and see how far apart they are; exit code 1 if beyond the tolerance."""
    if not 0 <= tolerance < math.inf:
        raise UserError(f"--tolerance {tolerance}: must be a number that is not negative")
    if live and json:
        raise UserError("--live: draws what --json prints; use one of them")
    if live and not has_terminal():
        raise UserError("--live: needs a terminal; without it the same steps are printed as a table")
    options = [f"--runtime={runtime}", f"--device={device}"]
    options += [f"--steps={steps}"] if steps else []
    if source.endswith(".json"):
        if changes:
            raise UserError("--set: a recording has no preset to change")
        path = Path(source).expanduser().absolute()
    else:
        path = presets.find(source).absolute()
        presets.read(source, changes or ())
        options += [f"--set={change}" for change in changes or ()]
    comparison = Comparison(path, tolerance, options, hushed=live)
    raise typer.Exit(run_app(comparison) if live else run_parity(comparison, as_json=json))
