"""The command line: stdout is data, stderr is talk, and only the app's commands import Textual."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from typer.core import TyperGroup

from engine import __version__
from engine.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE, UserError
from engine.fork import fork as fork_run
from engine.messages import Done
from engine.plain import plain
from engine.rundir import RunDir, all_runs
from zotui import config_commands, preset_commands, presets, tools
from zotui import show as shown
from zotui.app import has_terminal, run_app, words
from zotui.attached import AttachedEngine
from zotui.compare import compare
from zotui.completion import completion, prepare, set_keys
from zotui.headless import SignalRelay, close_stdout, follow_headless, run_headless
from zotui.launch import EngineProcess, start_engine
from zotui.naming import reference
from zotui.progress import print_table, talk
from zotui.seeds import run_seeds
from zotui.stopping import stop_run
from zotui.tools import PLAIN, PresetName, RunName


class _Group(TyperGroup):
    """Turns what can go wrong in any command into an exit code and at most one line."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except UserError as error:
            typer.echo(f"zotui: {error}", err=True)
            raise typer.Exit(EXIT_USAGE) from None
        except KeyboardInterrupt:
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except BrokenPipeError:  # `zotui list | head -1` has read enough
            close_stdout()
            raise typer.Exit(EXIT_DONE) from None
        return result


app = typer.Typer(cls=_Group, invoke_without_command=True, **PLAIN)
app.add_typer(preset_commands.commands, name="presets")
app.add_typer(config_commands.commands, name="config")

_Headless = Annotated[bool, typer.Option("--headless", help="No cockpit: plain progress.")]
_JsonEvents = Annotated[bool, typer.Option("--json", help="Print every event as a JSON line; no cockpit.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"zotui {__version__}")
        raise typer.Exit


@app.callback()
def start(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Fine-tune a language model with nothing but forward passes.

    Without a command the app opens, on a list of runs and presets.
    """
    if ctx.invoked_subcommand is None:
        if not has_terminal():
            raise UserError("the app needs a terminal; `zotui run PRESET` works without, `zotui --help` lists all")
        _open_app(None)


@app.command()
def run(
    preset: PresetName,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a key of the preset; may be repeated.", autocompletion=set_keys
        ),
    ] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option("--run-dir", metavar="DIR", help="The run's own folder.", show_default=False),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            "--seeds",
            metavar="N,N,...",
            help="One run per seed, in turn and without cockpit (DIR/seed-N each), then mean and spread.",
            show_default=False,
        ),
    ] = None,
    headless: _Headless = False,
    json: _JsonEvents = False,
) -> None:
    """Run a preset: in the cockpit, or plainly where there is no terminal."""
    if seeds is not None:
        raise typer.Exit(run_seeds(preset, changes or (), seeds, run_dir, json=json))
    chosen = presets.read(preset, changes or ())
    created = RunDir.create(chosen, preset, run_dir.expanduser() if run_dir else None)
    _follow(created, headless=headless, json=json)


@app.command()
def resume(run: RunName, headless: _Headless = False, json: _JsonEvents = False) -> None:
    """Go on with a run that was stopped, or that failed."""
    found = RunDir.find(run)
    summary = found.summary()
    if summary.standing == "live":
        raise UserError(f"{found.name}: is live; `zotui attach {reference(found)}` steers it where it is")
    if summary.standing == "finished":
        talk(f"{found.name}: is finished, all {summary.steps:,} steps are done")
        if json:
            _print_json(
                Done(
                    outcome="finished",
                    steps=summary.steps_done,
                    seconds=0.0,
                    metrics=summary.metrics,
                    run=summary.path,
                )
            )
        return
    _follow(found, headless=headless, json=json, resume=True)


@app.command()
def fork(
    run: RunName,
    step: Annotated[
        int | None,
        typer.Option("--step", metavar="N", help="After how many steps; its newest checkpoint's without."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting from there on; may be repeated."),
    ] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option("--run-dir", metavar="DIR", help="The new run's own folder.", show_default=False),
    ] = None,
    headless: _Headless = False,
    json: _JsonEvents = False,
) -> None:
    """Begin a new run where another one was after a step, and go on from there with other settings."""
    forked = fork_run(RunDir.find(run), step, changes or (), run_dir.expanduser() if run_dir else None)
    talk(f"{forked.name}: goes on from {run}")
    _follow(forked, headless=headless, json=json, resume=True)


@app.command()
def attach(run: RunName, headless: _Headless = False, json: _JsonEvents = False) -> None:
    """Steer a live run, in the cockpit; without a terminal, follow it plainly (an interrupt leaves it running)."""
    found = RunDir.find(run)
    if not (headless or json) and has_terminal():
        _open_app(AttachedEngine(found))
    raise typer.Exit(follow_headless(found, json))


@app.command()
def stop(run: RunName) -> None:
    """Finish a live run's step in flight, save it and end it; wait until it is gone."""
    raise typer.Exit(stop_run(RunDir.find(run)))


@app.command("list")
def list_runs(json: Annotated[bool, typer.Option("--json", help="A JSON object per run.")] = False) -> None:
    """List the runs, newest first."""
    summaries = [found.summary() for found in all_runs()]
    if json:
        for summary in summaries:
            _print_json(summary)
        return
    if not summaries:
        typer.echo("no runs yet; `zotui run demo` makes the first", err=True)
        return
    rows = [
        (
            s.name,
            s.word,
            f"{s.steps_done:,}/{s.steps:,}",
            words.metric(s.metrics),
            words.age(time.time() - s.started),
        )
        for s in summaries
    ]
    print_table([("RUN", "STANDING", "STEPS", "RESULT", "AGE"), *rows])


@app.command()
def show(run: RunName, json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """Show where a run stands, its evaluations and its preset."""
    found = RunDir.find(run)
    record = shown.record_of(found)
    if json:
        _print_json(shown.as_object(record))
        return
    summary, evaluations, best = record.summary, record.evaluations, record.best
    checkpoints, kept = found.checkpoint_folders(), found.update_kept()
    pairs = [
        ("run", summary.name),
        ("path", summary.path),
        ("state", f"{summary.word}{': ' + summary.error if summary.error else ''}"),
        ("steps", f"{summary.steps_done:,} of {summary.steps:,}"),
        ("preset", summary.preset),
        ("checkpoint", str(checkpoints[-1]) if checkpoints else "none"),
    ]
    if origin := found.info.read().get("forked_from"):
        pairs.append(("forked from", f"{origin['name']} after {origin['step']:,} steps"))
    if best:
        there = best["checkpoint"] or "no checkpoint of it"
        took = f" in {words.span(best['seconds'])}" if best.get("seconds") else ""
        pairs.append(("best", f"{words.figures(best['metrics'])} after {best['step']:,} steps{took}: {there}"))
    pairs += shown.figure_rows(record)
    if record.signal:
        pairs += shown.signal_rows(record.signal)
    if kept:
        figure = words.update_kept(kept["kept"], kept["cosine"])
        pairs.append(("update kept", f"{figure}, up to step {kept['step']:,} (residuals included)"))
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
            [("STEP", "SPLIT", "METRICS")]
            + [(f"{e['step']:,}", e["split"], words.figures(e["metrics"])) for e in evaluations]
        )
    typer.echo(f"\n{plain(presets.text(found.preset_file).rstrip())}")


app.command()(compare)
app.command()(tools.export)
app.command()(tools.preflight)
app.command()(tools.parity)
app.command()(tools.bench)
app.command()(tools.doctor)
app.command()(completion)


def main() -> None:
    """Entry point of the `zotui` command."""
    prepare()
    app(prog_name="zotui")


def _follow(run: RunDir, *, headless: bool, json: bool, resume: bool = False) -> None:
    """Start the engine and stay with it, in the cockpit or plainly."""
    if not (headless or json) and has_terminal():
        _open_app(start_engine(run, resume=resume))
    with SignalRelay() as relay:
        raise typer.Exit(run_headless(start_engine(run, resume=resume), json, relay))


def _open_app(launch: EngineProcess | AttachedEngine | None) -> None:
    raise typer.Exit(run_app(launch))


def _print_json(value: Any) -> None:
    typer.echo(plain(msgspec.json.encode(value).decode()))
