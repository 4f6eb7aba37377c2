"""How a run is named to the user, and what one is told who leaves it while it is live."""

from __future__ import annotations

import shlex

from engine.errors import UserError
from engine.runs.directory import RunDir
from engine.runs.home import runs_home


def reference(run: RunDir) -> str:
    """How the user names this run to other commands, ready for a shell."""
    return shlex.quote(run.name if run.path.parent == runs_home().absolute() else str(run.path))


def stops_when_left(run: RunDir) -> bool:
    """Whether the run is saved and stopped once no app is attached to it."""
    try:
        return run.preset().run.when_app_leaves == "stop"
    except UserError:  # of another version: what it says there is the engine's to know
        return False


def farewell(run: RunDir, held: bool = False) -> str:
    """What a live run does after it was left, and the way back to it, on one line; `held` if it could not go on."""
    name = reference(run)
    if held:
        return f"{name} is saved and has failed once no app is attached: zotui show {name}"
    if stops_when_left(run):
        return f"{name} saves and stops once no app is attached: zotui resume {name}"
    left = "stays paused" if run.summary().paused else "goes on"
    return f"{name} {left}: zotui attach {name}, zotui stop {name}"
