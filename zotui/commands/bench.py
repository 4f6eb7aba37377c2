"""`zotui bench`: start the measuring engine, pass its objects on or set them as tables; or train to a mark."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from engine.errors import UserError
from engine.protocol.figures import BenchFigures
from engine.text import plain
from zotui.commands.to_accuracy import OF_ACCURACY, asked
from zotui.headless.to_accuracy import run_to_accuracy

_GiB = 2**30
_PAPER = "the paper's patched vLLM against the same loop, OPT-1.3B to 13B at batch 16 to 128 on a GPU: 2.34x to 7.72x"


def run_bench(options: Sequence[str], *, as_json: bool) -> int:
    """Measure with `options` of `python -m engine.benchmark`; returns the exit code."""
    command = [sys.executable, "-P", "-m", "engine.benchmark", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            text = line.decode().rstrip() if as_json else _table(msgspec.json.decode(line, type=BenchFigures))
            print(plain(text), flush=True)
    return 128 - process.returncode if process.returncode < 0 else process.returncode


def _table(bench: BenchFigures) -> str:
    """One object of `--json` for people."""
    title = (
        f"{bench.model} ({bench.parameters / 1e6:,.0f}M parameters), {bench.dtype}, {bench.device}: batch "
        f"{bench.batch_size}, {bench.options} options, {bench.method}, rank {bench.rank}, queries {bench.queries}, "
        f"interval {bench.interval}, {bench.rounds} interleaved rounds"
    )
    paths = (
        ("training-loop, as the official trainers step", bench.loop),
        ("vllm, as shipped", bench.vllm),
        ("the bare forward pass on the same tokens", bench.floor),
        ("vLLM's public API", bench.public),
    )
    measured = [(label, path) for label, path in paths if path is not None]
    rows: list[tuple[str, ...]] = [("", "s/step", "min", "max", "tokens", "tokens/s", "peak GiB")]
    for label, path in measured:
        rows.append(
            (
                label,
                *(f"{seconds:.3f}" for seconds in (path.median_s, path.min_s, path.max_s)),
                f"{path.tokens:,}",
                f"{path.tokens / path.median_s:,.0f}",
                f"{path.peak_bytes / _GiB:.2f}",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    noise = max((path.max_s - path.min_s) / path.median_s for _, path in measured)
    notes = []
    if bench.speedup:
        notes.append(f"speedup over the loop       {bench.speedup:.2f}x")
    if bench.floor_ratio:
        notes.append(f"times the floor             {bench.floor_ratio:.3f}")
    if bench.overhead_share is not None:
        notes.append(f"outside the forward pass    {bench.overhead_share:.1%} of a step")
    if bench.fold_s is not None:
        notes.append(f"a fold                      {bench.fold_s:.3f} s, {_share(bench.fold_s, bench)}")
    if bench.redraw_s is not None:
        notes.append(f"a redraw of the loop        {bench.redraw_s:.3f} s, {_share(bench.redraw_s, bench)}")
    if bench.recorded_shapes:
        notes.append(f"CUDA graphs                 {bench.recorded_shapes} shapes of a pass recorded")
    if bench.loss_difference is not None:
        notes.append(f"same loss as the loop to    {bench.loss_difference:.1g}")
    notes.append(f"noise                       up to {noise:.0%} between the fastest and the slowest step of a path")
    if bench.loop:
        notes.append(f"({bench.loop.padded_tokens:,} tokens with padding went through the loop; {_PAPER})")
    return "\n".join([title, "", *lines, "", *notes, ""])


def _share(seconds: float, bench: BenchFigures) -> str:
    """What each step above has of something that is done once an interval."""
    return f"once in {bench.interval} steps: {seconds / bench.interval * 1000:.2g} ms of each step above are its share"


def bench(
    ctx: typer.Context,
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
    rank: Annotated[
        int | None, typer.Option("--rank", min=1, max=512, help="Rank of a direction. Default: the method's.")
    ] = None,
    queries: Annotated[
        int | None, typer.Option("--queries", min=1, max=256, help="Directions per step. Default: the method's.")
    ] = None,
    interval: Annotated[
        int, typer.Option("--interval", min=1, help="Steps between folds: a step's time has its share of one.")
    ] = 50,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per model and batch size, or run.")] = False,
    to_accuracy: Annotated[
        bool,
        typer.Option(
            "--to-accuracy",
            help="Instead train until a mark, and report tokens and time; the options below are its own.",
        ),
    ] = False,
    preset: Annotated[str, typer.Option("--preset", metavar="PRESET", help="What is trained.")] = "demo",
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="'NAME KEY=VALUE ...'",
            help="A method; with --to-accuracy also its settings, and the preset's own by default. May be repeated.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the preset, for all."),
    ] = None,
    seeds: Annotated[str, typer.Option("--seeds", metavar="N,N,...", help="A run of each method for each.")] = "0",
    mark_loss: Annotated[
        float | None, typer.Option("--mark-loss", metavar="NATS", help="The mark: a validation loss.")
    ] = None,
    mark_accuracy: Annotated[
        float | None, typer.Option("--mark-accuracy", metavar="A", help="An accuracy to reach as well, 0 to 1.")
    ] = None,
    mark_steps: Annotated[
        int | None,
        typer.Option("--mark-steps", metavar="N", min=1, help="The mark: what --mark-method reaches in N steps."),
    ] = None,
    mark_method: Annotated[
        str, typer.Option("--mark-method", metavar="'NAME KEY=VALUE ...'", help="What sets the mark.")
    ] = "lozo model.runtime=training-loop",
    most_steps: Annotated[
        int | None, typer.Option("--most-steps", metavar="N", min=1, help="Steps of a run. Default: the preset's.")
    ] = None,
    most_tokens: Annotated[
        int | None, typer.Option("--most-tokens", metavar="N", min=1, help="Tokens of a run. Default: no limit.")
    ] = None,
    most_minutes: Annotated[
        float | None, typer.Option("--most-minutes", metavar="N", help="Minutes of steps of a run. Default: no limit.")
    ] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option("--run-dir", metavar="DIR", help="Where runs go. Default: with the others.", show_default=False),
    ] = None,
    chart: Annotated[
        Path | None, typer.Option("--chart", metavar="FILE", help="Draw the losses too: .png or .svg.")
    ] = None,
) -> None:
    """Time a step on this machine: the conventional loop, zotui, and the bare forward pass. Or time to an accuracy."""
    given = [name for name in ctx.params if getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"]
    own = [name for name in given if name not in ("to_accuracy", "json")]
    if wrong := [name for name in own if name != "method" and (name in OF_ACCURACY) != to_accuracy]:
        option = f"--{OF_ACCURACY.get(wrong[0], wrong[0]).replace('_', '-')}"
        raise UserError(f"{option}: {'is not for' if to_accuracy else 'is for'} --to-accuracy")
    if to_accuracy:
        wanted = asked(
            preset, method or (), changes or (), seeds, mark_loss, mark_accuracy, mark_steps, mark_method,
            most_steps, most_tokens, most_minutes, run_dir, chart,
        )  # fmt: skip
        raise typer.Exit(run_to_accuracy(wanted, json=json))
    if settings := [one for one in method or () if len(one.split()) != 1]:
        raise UserError(f"--method {settings[0]}: is to be a name; settings are for --to-accuracy")
    chosen = {
        "--device": device, "--rounds": rounds, "--options": options, "--option-tokens": option_tokens,
        "--length": length, "--rank": rank, "--queries": queries, "--interval": interval,
        "--dtype": dtype,
    }  # fmt: skip
    arguments = [f"--model={one}" for one in model or ()] + [f"--batch-size={one}" for one in batch_size or ()]
    arguments += [f"--path={one}" for one in path or ()]
    arguments += [f"{name}={value}" for name, value in chosen.items() if value is not None]
    codes = [run_bench([*arguments, f"--method={one}"], as_json=json) for one in method or ["lozo"]]
    raise typer.Exit(max(codes))
