"""What `zotui bench --to-accuracy` is asked for, made of its options."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from engine.errors import UserError
from zotui.headless.contenders import Contender, Course
from zotui.headless.seeds import parse_seeds
from zotui.headless.to_accuracy import MarkRuns, Wanted
from zotui.home import presets
from zotui.runs.marks import Budget, Mark

_NAMES = (
    *("preset", "method", "seeds", "mark_loss", "mark_accuracy", "mark_steps", "mark_method"),
    *("most_steps", "most_tokens", "most_minutes", "run_dir", "chart"),
)
OF_ACCURACY = {**{name: name for name in _NAMES}, "changes": "set"}
"""The parameters that are its own, and what the option of each is called."""


def asked(
    preset: str,
    methods: Sequence[str],
    changes: Sequence[str],
    seeds: str,
    mark_loss: float | None,
    mark_accuracy: float | None,
    mark_steps: int | None,
    mark_method: str,
    most_steps: int | None,
    most_tokens: int | None,
    most_minutes: float | None,
    folder: Path | None,
    chart: Path | None,
) -> Wanted:
    """Raises `UserError` for what does not go together."""
    contenders = [Contender.parse(text) for text in methods] or [Contender(presets.read(preset).method.name)]
    mark: Mark | MarkRuns
    if (mark_loss is None) == (mark_steps is None):
        raise UserError("give the mark as --mark-loss NATS, or as --mark-steps N of what --mark-method reaches")
    if mark_loss is not None:
        if not 0 < mark_loss < math.inf:
            raise UserError(f"--mark-loss {mark_loss}: must be a number above 0")
        mark = Mark(mark_loss, mark_accuracy)
    else:
        assert mark_steps is not None
        if mark_accuracy is not None:
            raise UserError("--mark-accuracy goes with --mark-loss; of --mark-steps the accuracy is told beside it")
        mark = MarkRuns(Contender.parse(mark_method, "--mark-method"), mark_steps)
    if mark_accuracy is not None and not 0 <= mark_accuracy <= 1:
        raise UserError(f"--mark-accuracy {mark_accuracy}: must be from 0 to 1")
    if most_minutes is not None and not 0 < most_minutes < math.inf:
        raise UserError(f"--most-minutes {most_minutes}: must be a number above 0")
    course = Course(preset, tuple(changes), most_steps, folder.expanduser() if folder else None)
    budget = Budget(most_tokens, most_minutes)
    return Wanted(course, contenders, parse_seeds(seeds), mark, budget, chart.expanduser() if chart else None)
