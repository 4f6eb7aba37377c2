"""The Textual app: a start screen over presets and runs, a cockpit over one run.

Importing this package costs nothing; Textual is imported by `run_app`.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.runs.directory import RunDir
    from zotui.engines.attached import AttachedEngine
    from zotui.engines.launched import EngineProcess

# After so many does Python look for unreachable ones. The libraries make ten times as many that stay, and to look
# through those, as it does by default, was a fifth of what watching a run cost.
_NEW_OBJECTS = (10_000, 10, 10)


def run_app(launch: EngineProcess | AttachedEngine | RunDir | None = None) -> int:
    """Run the app until the user leaves it, and return the exit code for the shell.

    Without an argument it opens the start screen; with an engine that was just launched, or that is
    attached to, the cockpit on it; with a run's directory, a read-only view of that run, followed while
    it is live.
    """
    gc.set_threshold(*_NEW_OBJECTS)
    from zotui.app.app import run

    gc.freeze()
    return run(launch)
