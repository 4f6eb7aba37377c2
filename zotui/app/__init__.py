"""The Textual app: a start screen over presets and runs, and a cockpit over one run.

Importing this package costs nothing; Textual is imported by `run_app`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.rundir import RunDir
    from zotui.launch import EngineProcess


def run_app(launch: EngineProcess | RunDir | None = None) -> int:
    """Run the app until the user leaves it, and return the exit code for the shell.

    Without an argument it opens the start screen; with an engine that was just launched, the cockpit
    on it; with a run's directory, a read-only view of that run, followed while it is live.
    """
    from zotui.app.application import run

    return run(launch)
