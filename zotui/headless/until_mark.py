"""One run of a bench to accuracy: an ordinary run, stopped at the first evaluation that reaches the mark."""

from __future__ import annotations

from engine.errors import EXIT_DONE, EXIT_FAILED, EXIT_USAGE, UserError
from engine.preset.schema import Preset
from engine.protocol.commands import Stop
from engine.protocol.events import Error, Eval, State, Step
from engine.runs.directory import RunDir
from zotui.engines.launched import start_engine
from zotui.headless.progress import Progress
from zotui.headless.watch import SignalRelay
from zotui.runs.curves import Columns
from zotui.runs.marks import Budget, Mark, standing
from zotui.text import numbers
from zotui.text.output import talk
from zotui.text.run_names import reference


def read(run: RunDir) -> Columns:
    """What a run has on record, nothing if there is none. Raises `UserError` where that is damaged."""
    columns = Columns(run)
    columns.refresh()
    if columns.fault:
        raise UserError(columns.fault)
    return columns


def take(
    wanted: Preset, name: str, run: RunDir, mark: Mark | None, budget: Budget, relay: SignalRelay, *, quiet: bool
) -> int:
    """Begin the run, or go on with it, until its standing is no longer `unfinished`; returns an exit code.

    `name`: of the preset. Without a mark it takes all of its steps. Raises `UserError` where it cannot be started.
    """
    resumed = run.info.there()
    if not resumed:
        run.path.parent.mkdir(parents=True, exist_ok=True)
        RunDir.create(wanted, name, run.path)
    curves = read(run)
    launch = start_engine(run, resume=resumed)
    relay.deliver_to(launch.signal)
    progress, error, stopping = Progress(quiet=True), None, False
    for event in launch.events():
        progress.show(event)  # warnings alone
        if isinstance(event, Step):
            curves.add(event)
        elif isinstance(event, Eval):
            curves.add_evaluation(event)
            if not quiet:
                tokens = numbers.count(curves.place(event.step, "tokens"))
                talk(f"  step {numbers.count(event.step)}, {tokens} tokens: {numbers.figures(event.metrics)}")
        elif isinstance(event, Error):
            error = event
        held = isinstance(event, State) and event.state == "paused" and event.reason and not event.waits
        judged = isinstance(event, Step | Eval) and standing(curves, mark, budget) != "unfinished"
        if (held or judged) and not stopping:
            stopping = launch.send(Stop())
    progress.clear()
    code = launch.wait()
    if error is not None:
        talk(f"zotui: {error.text}")
        return EXIT_FAILED if error.kind == "failure" or code == EXIT_FAILED else EXIT_USAGE
    if relay.received or stopping or code == EXIT_DONE:
        return EXIT_DONE
    if kept := launch.take_back():
        talk(f"zotui: the engine ended with code {code} before its first step; its log is {kept}")
    else:
        talk(f"zotui: the engine ended with code {code}; `zotui resume {reference(run)}` goes on")
    return EXIT_FAILED
