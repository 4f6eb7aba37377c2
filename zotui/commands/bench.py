"""`zotui bench`: start the measuring engine, pass its objects on or set them as tables."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import typer

from engine.protocol.figures import BenchFigures
from engine.text import plain

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
    method: Annotated[str, typer.Option("--method", metavar="NAME", help="The method that takes the steps.")] = "lozo",
    rank: Annotated[
        int | None, typer.Option("--rank", min=1, max=512, help="Rank of a direction. Default: the method's.")
    ] = None,
    queries: Annotated[
        int | None, typer.Option("--queries", min=1, max=256, help="Directions per step. Default: the method's.")
    ] = None,
    interval: Annotated[
        int, typer.Option("--interval", min=1, help="Steps between folds: a step's time has its share of one.")
    ] = 50,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per model and batch size.")] = False,
) -> None:
    """Time a step on this machine: the conventional loop, zotui, and the bare forward pass."""
    chosen = {
        "--device": device, "--rounds": rounds, "--options": options, "--option-tokens": option_tokens,
        "--length": length, "--method": method, "--rank": rank, "--queries": queries, "--interval": interval,
        "--dtype": dtype,
    }  # fmt: skip
    arguments = [f"--model={one}" for one in model or ()] + [f"--batch-size={one}" for one in batch_size or ()]
    arguments += [f"--path={one}" for one in path or ()]
    arguments += [f"{name}={value}" for name, value in chosen.items() if value is not None]
    raise typer.Exit(run_bench(arguments, as_json=json))
