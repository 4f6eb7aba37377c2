"""The commands that start an engine of their own instead of a run: export, parity, bench, preflight, doctor."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from engine.errors import UserError
from engine.plain import plain
from engine.rundir import RunDir
from zotui import presets
from zotui.app import has_terminal, run_app
from zotui.bench import run_bench
from zotui.columns import Columns
from zotui.completion import preset_names, run_names
from zotui.doctor import run_doctor
from zotui.exporting import FORMATS, Format
from zotui.exporting import export as write_export
from zotui.parity import Comparison, run_parity
from zotui.survey import run_preflight

PLAIN: dict[str, Any] = {
    "rich_markup_mode": None,  # rich is slow to import
    "pretty_exceptions_enable": False,
    "add_completion": False,
    "context_settings": {"help_option_names": ["--help", "-h"]},
}
"""What every group of commands is made with."""

RunName = Annotated[
    str,
    typer.Argument(metavar="RUN", help="A run's name or path.", show_default=False, autocompletion=run_names),
]
PresetName = Annotated[
    str,
    typer.Argument(
        metavar="PRESET", help="A preset's name, or a file.", show_default=False, autocompletion=preset_names
    ),
]


def export(
    run: RunName,
    to: Annotated[Path, typer.Option("--to", metavar="DIR|FILE", help="What to write.", show_default=False)],
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="|".join(("merged", *FORMATS)),
            help="The whole model in DIR; or in FILE every step (csv, json) or a chart (svg, png). "
            "Default: what the name of FILE ends with, else merged.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write the fine-tuned model, for any tool that loads a model; or a run's numbers, or a chart of them."""
    ending = to.suffix.removeprefix(".").lower()
    format = format or (ending if ending in FORMATS else "merged")
    if format not in ("merged", *FORMATS):
        raise UserError(f"--format {format}: not a format; use --format {', '.join(('merged', *FORMATS[:-1]))} or png")
    found = RunDir.find(run)
    if format != "merged":
        taken_away(found, to, format)
        return
    command = [sys.executable, "-P", "-m", "engine.export", str(found.path), str(to.expanduser().absolute())]
    code = subprocess.run(command, check=False).returncode
    raise typer.Exit(128 - code if code < 0 else code)


def taken_away(run: RunDir, to: Path, format: str) -> None:
    """Write a run's numbers or their chart; its one line of data is the file."""
    curves = Columns(run)
    curves.refresh()
    target = to.expanduser().absolute()
    write_export([curves], target, cast(Format, format))
    typer.echo(plain(str(target)))


def bench(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="PATH|SHAPE", help="A folder, or a shape such as opt-125m; may be repeated."),
    ] = None,
    batch_size: Annotated[
        list[int] | None, typer.Option("--batch-size", metavar="N", min=1, help="Examples per step; may be repeated.")
    ] = None,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option("--dtype", help="Default: float32 on a CPU, float16 on a GPU."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, ..., or auto.")] = "auto",
    path: Annotated[
        list[str] | None,
        typer.Option("--path", metavar="loop|vllm|floor|public", help="What to time; may be repeated. Default: all."),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Turns of every path.")] = 5,
    options: Annotated[int, typer.Option("--options", min=2, help="Answer options of an example.")] = 2,
    option_tokens: Annotated[int, typer.Option("--option-tokens", min=1, help="Tokens of an option.")] = 1,
    length: Annotated[
        int | None, typer.Option("--length", min=2, help="Tokens of every prompt. Default: as long as SST-2's.")
    ] = None,
    rank: Annotated[int, typer.Option("--rank", min=1, max=512, help="Rank of a direction.")] = 2,
    queries: Annotated[int, typer.Option("--queries", min=1, max=256, help="Directions per step.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per model and batch size.")] = False,
) -> None:
    """Time a step on this machine: the conventional loop, zotui, and the bare forward pass."""
    chosen = {
        "--device": device, "--rounds": rounds, "--options": options, "--option-tokens": option_tokens,
        "--length": length, "--rank": rank, "--queries": queries, "--dtype": dtype,
    }  # fmt: skip
    arguments = [f"--model={one}" for one in model or ()] + [f"--batch-size={one}" for one in batch_size or ()]
    arguments += [f"--path={one}" for one in path or ()]
    arguments += [f"{name}={value}" for name, value in chosen.items() if value is not None]
    raise typer.Exit(run_bench(arguments, as_json=json))


def doctor(json: Annotated[bool, typer.Option("--json", help="A JSON object per finding.")] = False) -> None:
    """Say what is installed here, what is wrong, and how to mend it; exit code 1 if no run could start."""
    raise typer.Exit(run_doctor(as_json=json))


def preflight(
    preset: Annotated[str, typer.Argument(metavar="PRESET", help="A preset's name, or a file.", show_default=False)],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the preset; may be repeated."),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Also load the model, time a few steps and estimate the run's time.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="A JSON object per finding.")] = False,
) -> None:
    """Say what a run would start on, and what it takes of this machine; nothing is started."""
    raise typer.Exit(run_preflight(presets.read(preset, changes or ()), calibrate=calibrate, as_json=json))


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
