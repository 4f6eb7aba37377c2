"""The model that a new preset begins with."""

from __future__ import annotations

from collections.abc import Iterator

from engine.errors import UserError
from engine.preset.schema import BUILTIN_DEMO
from engine.runs.directory import all_runs
from zotui.app.start.preset_list import Choice
from zotui.engines.proposing import MODEL


def default_model(choice: Choice | None) -> str:
    """Of the newest run, else of the preset under the cursor; one that only knows the words of the demo is left out."""
    return next((model for model in _used(choice) if model != BUILTIN_DEMO), MODEL)


def _used(choice: Choice | None) -> Iterator[str]:
    for run in all_runs():
        try:
            yield run.preset().model.path
        except UserError:
            continue
    if choice is not None and choice.preset is not None:
        yield choice.preset.model.path
