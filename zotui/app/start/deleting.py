"""What is asked before a run or a preset is deleted, and the deleting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from textual.screen import Screen

from engine.errors import UserError
from engine.runs.directory import RunDir
from zotui.app.kit.dialogs import Question
from zotui.home import presets
from zotui.runs import delete
from zotui.text import numbers

Then = Callable[[], None]


def delete_run(screen: Screen[None], run: RunDir, then: Then) -> None:
    """Ask, delete the run's folder, and do `then`."""
    try:
        delete.refuse(run)
    except UserError as error:
        screen.notify(str(error), title="not deleted", severity="warning", markup=False)
        return
    summary = run.summary()
    steps = f"{numbers.count(summary.steps_done)} of {numbers.count(summary.steps)} steps"
    text = f"{summary.name} ({summary.standing}, {steps}): its folder goes, checkpoints and journal included."
    _ask(screen, "delete this run?", text, lambda: delete.delete_run(run), then)


def delete_preset(screen: Screen[None], file: Path, then: Then) -> None:
    """Ask, delete a preset of the user's own, and do `then`."""
    try:
        presets.refuse_to_delete(file)
    except UserError as error:
        screen.notify(str(error), title="not deleted", severity="warning", markup=False)
        return
    _ask(screen, "delete this preset?", f"{file} goes; runs of it stay.", lambda: presets.delete(file), then)


def _ask(screen: Screen[None], title: str, text: str, act: Then, then: Then) -> None:
    def answered(answer: str | None) -> None:
        if answer != "delete":
            return
        try:
            act()
        except UserError as error:
            screen.notify(str(error), title="not deleted", severity="error", markup=False)
        then()

    screen.app.push_screen(Question(title, text, {"keep": "Keep it", "delete": "Delete it"}), answered)
