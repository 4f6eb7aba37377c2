"""`zotui stop`: end a live run from any shell, and wait until its engine is gone."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import typer

from engine.errors import EXIT_DONE, EXIT_FAILED, UserError
from engine.protocol.commands import Stop
from engine.protocol.events import Checkpoint, State
from engine.runs.directory import RunDir
from zotui.commands.options import RunName
from zotui.engines.attached import AttachedEngine, NoAnswer
from zotui.text import numbers
from zotui.text.output import talk
from zotui.text.run_names import reference

_POLL = 0.1  # seconds


def stop_run(run: RunDir) -> int:
    """Ask the engine to stop, say on stderr what is waited for, and return the exit code once it is gone.

    An engine that does not answer is asked by a signal. Interrupting this leaves it stopping.
    """
    try:
        engine = AttachedEngine(run)
    except NoAnswer:
        return _stop_by_signal(run)
    except UserError:  # not live, or no longer
        talk(f"{run.name}: is not live ({run.summary().standing}); nothing to stop")
        return EXIT_DONE
    engine.send(Stop())
    for event in engine.events():
        if isinstance(event, State) and event.state == "stopping":
            talk(f"{run.name}: stopping; waiting for the step in flight to be finished and saved")
        elif isinstance(event, Checkpoint):
            talk(f"{run.name}: saved the checkpoint of step {numbers.count(event.step)}; waiting for the engine to end")
    engine.wait()
    return _gone(run)


def _stop_by_signal(run: RunDir) -> int:
    pid = run.engine_pid()
    if pid is not None:
        talk(
            f"{run.name}: does not answer; sent TERM to its process {pid} instead; waiting for the step in flight to "
            "be finished and saved"
        )
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    elif run.is_live():
        talk(f"zotui: {run.name}: does not answer, and its process cannot be seen from here: is it another machine's?")
        return EXIT_FAILED
    while run.is_live():
        time.sleep(_POLL)
    return _gone(run)


def _gone(run: RunDir) -> int:
    """Say where the run stands now that its engine has ended."""
    summary = run.summary()
    steps = f"{numbers.count(summary.steps_done)} of {numbers.count(summary.steps)} steps"
    way_on = "" if summary.standing == "finished" else f"; `zotui resume {reference(run)}` goes on with it"
    talk(f"{run.name}: {summary.standing} after {steps}{way_on}")
    return EXIT_DONE


def stop(run: RunName) -> None:
    """Finish a live run's step in flight, save it and end it; wait until it is gone."""
    raise typer.Exit(stop_run(RunDir.find(run)))
