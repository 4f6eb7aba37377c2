"""`zotui parity`: the engine's own command, its answers as a table or as they are."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from engine.errors import UserError
from engine.protocol.figures import AnyParity, ParityRow, ParitySummary
from engine.text import plain
from zotui.commands.parity_table import header, lines, summary_lines
from zotui.home import presets


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
                print(f"\n{summary_lines(answer, rows)}")
            else:
                if not rows:
                    print(header(answer))
                rows.append(answer)
                print(lines(answer), flush=True)
        code = process.wait()
    finally:  # nothing is lost when it is ended early
        process.kill()
        process.wait()
    return 128 - code if code < 0 else code


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
