"""The question to one who leaves a live run: what is to become of it."""

from __future__ import annotations

from engine.runs.directory import RunDir
from zotui.app.kit.dialogs import Question
from zotui.app.state.run_state import RunState
from zotui.text.run_names import stops_when_left


def leaving(run: RunState, record: RunDir, *, killable: bool) -> Question:
    """The answers are keep, leave and stop; while it is saving keep, leave and, where `killable`, kill."""
    if run.asked == "stopping" or run.state == "stopping":
        text = "The engine is finishing its step and saving; it does so without this app too."
        answers = {"keep": "Keep waiting", "leave": "Leave it saving"}
        if killable:
            text += " Killing it keeps every finished step in the journal, but writes no checkpoint."
            answers["kill"] = "Kill it and quit"
        return Question("still saving", text, answers)
    title, leave = "the run is live", "Leave it running"
    if run.fault:
        title, leave = "the run is held", "Leave (it fails)"
        then = f"It waits since it cannot go on: {run.fault}. Once no app is attached it is saved, and has failed."
    elif stops_when_left(record):
        leave = "Leave (it stops)"
        then = (
            "Its preset says run.when_app_leaves = stop: it saves and stops once no app is attached, and can be "
            "resumed later from there."
        )
    else:
        paused = run.holding and not run.waits
        leave = "Leave it paused" if paused else leave
        left = "stays paused" if paused else "goes on to its end"
        then = (
            f"Left alone it {left}, and `zotui attach` comes back to it. Stopped and saved it can be resumed later "
            "from there."
        )
    text = f"{run.name} is at step {run.done} of {run.steps or '?'}. {then}"
    return Question(title, text, {"keep": "Keep watching", "leave": leave, "stop": "Stop and save"})
