"""`zotui run`, `resume`, `fork` and `attach`: an engine is started or found, and watched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.errors import UserError
from engine.protocol.events import Done
from engine.runs.directory import RunDir
from engine.runs.fork import fork as fork_run
from zotui.app import run_app
from zotui.commands.options import Changes, PresetName, RunName
from zotui.engines.attached import AttachedEngine
from zotui.engines.launched import EngineProcess, start_engine
from zotui.headless.seeds import run_seeds
from zotui.headless.watch import SignalRelay, follow_headless, run_headless
from zotui.home import presets
from zotui.terminal import has_terminal
from zotui.text.output import print_json, talk
from zotui.text.run_names import reference

_Headless = Annotated[bool, typer.Option("--headless", help="No cockpit: plain progress.")]


_JsonEvents = Annotated[bool, typer.Option("--json", help="Print every event as a JSON line; no cockpit.")]


def run(
    preset: PresetName,
    changes: Changes = None,
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


def resume(run: RunName, headless: _Headless = False, json: _JsonEvents = False) -> None:
    """Go on with a run that was stopped, or that failed."""
    found = RunDir.find(run)
    summary = found.summary()
    if summary.standing == "live":
        raise UserError(f"{found.name}: is live; `zotui attach {reference(found)}` steers it where it is")
    if summary.standing == "finished":
        on = f"; `zotui fork {reference(found)} --set run.patience=0` goes on from there"
        ended = f"{summary.early}{on}" if summary.early else f"all {summary.steps:,} steps are done"
        talk(f"{found.name}: is finished, {ended}")
        if json:
            print_json(
                Done(
                    outcome="finished",
                    steps=summary.steps_done,
                    seconds=0.0,
                    metrics=summary.metrics,
                    run=summary.path,
                    reason=summary.early,
                )
            )
        return
    _follow(found, headless=headless, json=json, resume=True)


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


def attach(run: RunName, headless: _Headless = False, json: _JsonEvents = False) -> None:
    """Steer a live run, in the cockpit; without a terminal, follow it plainly (an interrupt leaves it running)."""
    found = RunDir.find(run)
    if not (headless or json) and has_terminal():
        open_app(AttachedEngine(found))
    raise typer.Exit(follow_headless(found, json))


def _follow(run: RunDir, *, headless: bool, json: bool, resume: bool = False) -> None:
    """Start the engine and stay with it, in the cockpit or plainly."""
    if not (headless or json) and has_terminal():
        open_app(start_engine(run, resume=resume))
    with SignalRelay() as relay:
        raise typer.Exit(run_headless(start_engine(run, resume=resume), json, relay))


def open_app(launch: EngineProcess | AttachedEngine | None) -> None:
    raise typer.Exit(run_app(launch))
