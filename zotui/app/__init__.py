"""The Textual app: a start screen over presets and runs, a cockpit over one run, a view of a comparison.

Importing this package costs nothing; Textual is imported by `run_app`.
"""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.rundir import RunDir
    from zotui.attached import AttachedEngine
    from zotui.launch import EngineProcess
    from zotui.parity import Comparison

# After so many does Python look for unreachable ones. The libraries make ten times as many that stay, and to look
# through those, as it does by default, was a fifth of what watching a run cost.
_NEW_OBJECTS = (10_000, 10, 10)


def has_terminal() -> bool:
    """Whether there is a terminal to draw on, and a keyboard."""
    # Textual draws on stderr.
    return sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()


def run_app(launch: EngineProcess | AttachedEngine | RunDir | Comparison | None = None) -> int:
    """Run the app until the user leaves it, and return the exit code for the shell.

    Without an argument it opens the start screen; with an engine that was just launched, or that is
    attached to, the cockpit on it; with a run's directory, a read-only view of that run, followed while
    it is live; with a comparison that was just started, its curves.
    """
    gc.set_threshold(*_NEW_OBJECTS)
    from zotui.app.application import run

    gc.freeze()
    return run(launch)
