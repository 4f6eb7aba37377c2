"""`zotui export`: what is taken away from a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, cast

import typer

from engine.errors import UserError
from engine.runs.directory import RunDir
from engine.text import plain
from zotui.commands.options import RunName
from zotui.headless.watch import SignalRelay
from zotui.runs.curves import Columns
from zotui.runs.export_files import FORMATS, TEXT, Format, export_to
from zotui.runs.export_files import export as write_export

FOLDERS = ("merged", "adapter")
DTYPES = ("float32", "bfloat16", "float16")


def export(
    run: RunName,
    to: Annotated[
        Path,
        typer.Option("--to", metavar="DIR|FILE|-", help="What to write; - is standard output.", show_default=False),
    ],
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="|".join((*FOLDERS, *FORMATS)),
            help="The whole model in DIR, or an adapter for the base model; or in FILE every step (csv, json) or a "
            "chart (svg, png). Default: what the name of FILE ends with, else merged.",
            show_default=False,
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype",
            metavar="|".join(DTYPES),
            help="The precision of the model's weights. Default: the base model's own.",
            show_default=False,
        ),
    ] = None,
    step: Annotated[
        str | None,
        typer.Option(
            "--step",
            metavar="N|best|last",
            help="Of the model or the adapter: as it was after N steps, at the best evaluation, or last (default).",
            show_default=False,
        ),
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option(
            "--rank",
            metavar="R",
            help="Cut the adapter down to this rank. Default: all that was learned, exactly.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write the fine-tuned model, or an adapter of it, for any tool that loads one; or a run's numbers, or a chart."""
    ending = to.suffix.removeprefix(".").lower()
    format = format or (ending if ending in FORMATS else "merged")
    if format not in (*FOLDERS, *FORMATS):
        raise UserError(f"--format {format}: not a format; use one of {', '.join((*FOLDERS, *FORMATS))}")
    if dtype is not None and dtype not in DTYPES:
        raise UserError(f"--dtype {dtype}: not a precision; use one of {', '.join(DTYPES)}")
    if dtype is not None and format != "merged":
        raise UserError(f"--dtype {dtype}: is for --format merged")
    if rank is not None and format != "adapter":
        raise UserError(f"--rank {rank}: is for --format adapter")
    if step is not None and format not in FOLDERS:
        raise UserError(f"--step {step}: is for --format merged or adapter; {format} has every step")
    if str(to) == "-" and format not in TEXT:
        raise UserError(f"--to -: only numbers go to standard output; add --format {' or '.join(TEXT)}")
    found = RunDir.find(run)
    if format in FORMATS:
        taken_away(found, to, format)
        return
    command = [sys.executable, "-P", "-m", "engine.export", str(found.path), str(to.expanduser().absolute())]
    for name, value in (("format", format), ("dtype", dtype), ("step", step), ("rank", rank)):
        command += [f"--{name}", str(value)] if value is not None else []
    with SignalRelay() as relay:
        process = subprocess.Popen(command)
        relay.deliver_to(process.send_signal)  # it takes back what it has written
        code = process.wait()
    raise typer.Exit(128 - code if code < 0 else code)


def taken_away(run: RunDir, to: Path, format: str) -> None:
    """Write a run's numbers or their chart; its one line of data is the file, or they are the data themselves."""
    curves = Columns(run)
    curves.refresh()
    if str(to) == "-":
        export_to([curves], sys.stdout, cast(Format, format))
        return
    target = to.expanduser().absolute()
    write_export([curves], target, cast(Format, format))
    typer.echo(plain(str(target)))
