"""`zotui parity`: its rows and its summary, as a table."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from engine.errors import UserError
from engine.protocol.figures import AnyParity, ParityRow, ParitySummary
from engine.text import plain
from zotui.home import presets

_COLUMNS = ("step", "loss plus", "reference", "loss minus", "reference", "g", "reference", "largest diff")
_WIDTHS = (6, 11, 11, 11, 11, 12, 12, 12)


def run_parity(source: Path, options: Sequence[str], *, as_json: bool) -> int:
    """Compare with `options` of `python -m engine.parity`; returns the exit code (128 + n when signal n ended it)."""
    decoder: msgspec.json.Decoder[AnyParity] = msgspec.json.Decoder(AnyParity)
    rows: list[ParityRow] = []
    # -P: not a folder called engine here.
    command = [sys.executable, "-P", "-m", "engine.parity", *options, "--", str(source)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                answer = decoder.decode(line)
            except msgspec.DecodeError:  # what was cut off by its end
                continue
            if as_json:
                print(plain(line.decode().rstrip()), flush=True)
            elif isinstance(answer, ParitySummary):
                print(f"\n{_summary(answer, rows)}")
            else:
                if not rows:
                    print(_line(_COLUMNS))
                rows.append(answer)
                print(_row(answer), flush=True)
        code = process.wait()
    finally:  # nothing is lost when it is ended early
        process.kill()
        process.wait()
    return 128 - code if code < 0 else code


def _row(row: ParityRow) -> str:
    cells = [str(row.step)]
    for ours, theirs, digits in (
        (row.loss_plus, row.reference_loss_plus, 7),
        (row.loss_minus, row.reference_loss_minus, 7),
        (row.projected_grad, row.reference_projected_grad, 5),
    ):
        cells += [_number(ours, f".{digits}f"), _number(theirs, f".{digits}f")]
    return _line((*cells, _number(row.loss_diff, ".1e"))) + ("" if row.same_sign else "  other sign")


def _line(cells: Sequence[str]) -> str:
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=True))


def _number(value: float | None, form: str) -> str:
    return "not finite" if value is None else format(value, form)


def _summary(summary: ParitySummary, rows: Sequence[ParityRow]) -> str:
    verdict = "within" if summary.ok else "NOT within"
    lines = [
        f"{summary.runtime} against {plain(summary.reference)}: {summary.steps} steps, {verdict} {summary.tolerance:g}",
        f"largest difference of a loss         {_number(summary.max_loss_diff, '.2e')} nats",
        f"largest difference of g over its rms {_number(summary.max_grad_rel_diff, '.2e')}",
        f"same sign of g                       {summary.sign_agreement:.1%} of the steps",
    ]
    if summary.first_difference is not None:
        lines.append(f"first step beyond the tolerance: {summary.first_difference}")
    # The first step also warms up.
    ours, theirs = _median(row.seconds for row in rows[1:]), _median(row.reference_seconds for row in rows[1:])
    if ours and theirs:
        lines.append(f"median step: {ours:.3f} s, {theirs:.3f} s on the training loop ({theirs / ours:.1f}x)")
    return "\n".join(lines)


def _median(seconds: Iterable[float | None]) -> float | None:
    known = sorted(one for one in seconds if one)
    return known[len(known) // 2] if known else None


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
) -> None:
    """Take the same steps twice, and see how far apart they are; exit code 1 if beyond the tolerance."""
    if not 0 <= tolerance < math.inf:
        raise UserError(f"--tolerance {tolerance}: must be a number that is not negative")
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
    raise typer.Exit(run_parity(path, [f"--tolerance={tolerance}", *options], as_json=json))
