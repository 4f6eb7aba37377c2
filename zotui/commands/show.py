"""`zotui list` and `zotui show`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import UserError
from engine.runs.best import only_harm
from engine.runs.directory import RunDir, all_runs
from engine.runs.usage import Usage, together
from engine.text import plain
from zotui.commands.options import RunName
from zotui.home import presets
from zotui.runs.record import as_object, record_of
from zotui.runs.side_by_side import settings
from zotui.text import evals, numbers
from zotui.text.output import print_json, print_table
from zotui.text.run_names import reference

if TYPE_CHECKING:
    from engine.runs.signal import Figures
from zotui.runs.record import Record, remaining


def list_runs(json: Annotated[bool, typer.Option("--json", help="A JSON object per run.")] = False) -> None:
    """List the runs, newest first."""
    runs = all_runs()
    summaries = [found.summary() for found in runs]
    if json:
        for summary in summaries:
            print_json(summary)
        return
    if not summaries:
        typer.echo("no runs yet; `zotui run demo` makes the first", err=True)
        return
    rows = [
        (
            s.name,
            s.word,
            f"{s.steps_done:,}/{s.steps:,}",
            numbers.metric(s.metrics) + (", only harm" if _only_harm(run) else ""),
            numbers.age(time.time() - s.started),
        )
        for run, s in zip(runs, summaries, strict=True)
    ]
    print_table([("RUN", "STANDING", "STEPS", "RESULT", "AGE"), *rows])


def _only_harm(run: RunDir) -> bool:
    """As far as the evaluations can be read."""
    try:
        return only_harm(run.evaluations())
    except UserError:
        return False


def show(run: RunName, json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """Show where a run stands, its evaluations and its preset."""
    found = RunDir.find(run)
    record = record_of(found)
    if json:
        print_json(as_object(record))
        return
    summary, evaluations, best = record.summary, record.evaluations, record.best
    checkpoints, kept = found.checkpoint_folders(), record.update_kept
    pairs = [
        ("run", summary.name),
        ("path", summary.path),
        ("state", f"{summary.word}{': ' + why if (why := summary.error or summary.early) else ''}"),
        ("steps", f"{summary.steps_done:,} of {summary.steps:,}"),
        ("preset", summary.preset),
        ("checkpoint", str(checkpoints[-1]) if checkpoints else "none"),
    ]
    if origin := found.info.read().forked_from:
        pairs.append(("forked from", f"{origin.name} after {origin.step:,} steps"))
    if best and not best.step:
        harm = only_harm(evaluations)
        said = "before training: the run only did harm" if harm else "before training, the only evaluation so far"
        pairs.append(("best", f"{numbers.figures(best.metrics)} {said}"))
    elif best:
        there = best.checkpoint or "no checkpoint of it"
        took = f" in {numbers.span(best.seconds)}" if best.seconds else ""
        pairs.append(("best", f"{numbers.figures(best.metrics)} after {best.step:,} steps{took}: {there}"))
    pairs += figure_rows(record)
    if record.signal:
        pairs += signal_rows(record.signal)
    if kept and kept.update_kept is not None:
        figure = numbers.update_kept(kept.update_kept, kept.update_cosine)
        pairs.append(("update kept", f"{figure}, up to step {kept.step:,} (residuals included)"))
    if summary.standing in ("stopped", "failed", "crashed", "new"):
        pairs.append(("next", f"zotui resume {reference(found)}"))
    elif summary.standing == "live":
        pairs.append(("next", f"zotui attach {reference(found)}"))
    elif summary.standing == "finished":
        pairs.append(("next", f"zotui export {reference(found)} --to DIR --format merged"))
    print_table(pairs)
    if evaluations:
        typer.echo()
        print_table(
            [("STEP", "SPLIT", "METRICS")] + [(f"{e.step:,}", e.split, numbers.figures(e.metrics)) for e in evaluations]
        )
    if found_later := found.evals():
        typer.echo("\nby `zotui eval`:")
        print_table(evals.table(found_later))
    typer.echo(f"\n{plain(presets.text(found.preset_file).rstrip())}")


_BARS = "▁▂▃▄▅▆▇█"


def figure_rows(record: Record) -> list[tuple[str, str]]:
    """Loss, speed, time, memory and load as rows of a name and a line."""
    found, spent, rows = record.result, record.time, []
    if found and found.loss is not None and found.loss_at_start is not None:
        rows.append(("loss", f"{numbers.loss(found.loss_at_start)} → {numbers.loss(found.loss)}, smoothed"))
    if found and found.tokens_per_s and found.step_seconds:
        tokens = f"{numbers.short_count(found.tokens)} tokens"
        rows.append(
            (
                "speed",
                f"{numbers.count(found.tokens_per_s)} tok/s, {numbers.brief(found.step_seconds)} a step; {tokens}",
            )
        )
    if spent and spent["total"]:
        rows.append(("time", f"{numbers.span(spent['total'])} measured: {numbers.time_spent(spent)}"))
    changed = settings(record.run).get("changes")
    if changed:
        rows.append(("changed", f"{changed}, while it was at work"))
    if record.curves and (returns := record.curves.returns):
        last, times = returns[-1], f"{len(returns)} times, last " if len(returns) > 1 else ""
        text = f"{times}at step {last.step:,} to the state after {last.to:,}, rate halved to {last.lr:g}"
        rows.append(("returned", text))
    left = remaining(record)
    if left is not None:
        rows.append(("ETA", f"~{numbers.duration(left)}"))
    return rows + _usage_rows(together(record.usage))


def _usage_rows(taken: Usage | None) -> list[tuple[str, str]]:
    """What the run took, over all of its time."""
    if taken is None:
        return []
    memory, load = f"peak {numbers.size(taken.rss_peak)} resident", f"{taken.cpu_mean:.1f} cores"
    if gpu := taken.gpu:
        memory += f"; GPU {numbers.gib(gpu.memory_used_peak)} of {numbers.gib(gpu.memory_total)} GiB"
        if gpu.utilisation_mean is not None:
            load += f", GPU {gpu.utilisation_mean:.0%}"
    if taken.kv_cache_usage_mean is not None and taken.kv_cache_usage_peak is not None:
        load += f", KV cache {taken.kv_cache_usage_mean:.0%} (peak {taken.kv_cache_usage_peak:.0%})"
    return [("memory", memory), ("load", load)]


def signal_rows(figures: Figures) -> list[tuple[str, str]]:
    """The figures as rows of a name and a line."""
    noise = "not measured" if figures.noise is None else f"noise {figures.noise:.2g}"
    if figures.ratio is not None and figures.below_noise is not None:
        noise += f" ({figures.ratio:.3g} times; {figures.below_noise:.0%} of the steps below it)"
    rows = [("|L+ - L-|", f"{figures.difference:.3g} nats, {noise}")]
    line = f"|g| {figures.gradient:.3g}, at the start {figures.gradient_at_start:.3g}"
    rows.append(("gradient", f"{line}  {_bars(figures.gradient_history)}".rstrip()))
    if figures.step_size is not None:
        rows.append(("step size", f"{figures.step_size:.3g} per step and weight entry, rms"))
    if figures.trend is not None:
        line = f"{figures.trend:+.4f} +- {figures.trend_error:.4f} nats since the start, by least squares"
        rows.append(("trend", line))
    return [("signal", figures.verdict.text), *rows]


def _bars(values: list[float]) -> str:
    """A small chart from 0 to the largest; nothing for fewer than two."""
    top = max(values, default=0.0)
    if len(values) < 2 or not top:
        return ""
    return "".join(_BARS[min(len(_BARS) - 1, int(value / top * len(_BARS)))] for value in values)
