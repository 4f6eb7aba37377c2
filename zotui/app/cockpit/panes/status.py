"""The line of progress: state, bar, steps, elapsed time and the estimate of what is left."""

from __future__ import annotations

from zotui.app.kit.progress_line import ProgressLine
from zotui.app.state.run_state import RunState
from zotui.text import numbers

_COLOURS = {
    "running": "$success",
    "finished": "$success",
    "starting": "$primary",
    "evaluating": "$primary",
    "checkpointing": "$primary",
    "resuming…": "$primary",
    "live elsewhere": "$primary",
    "paused elsewhere": "$warning",
    "pausing…": "$warning",
    "paused": "$warning",
    "stopping…": "$warning",
    "stopped": "$warning",
    "died": "$error",
    "refused": "$error",
}


class StatusLine(ProgressLine):
    """What the run is doing."""

    def refresh_status(self, run: RunState) -> None:
        """Show where the run is."""
        word = state_word(run)
        colour = _COLOURS.get(word, "$primary")
        self.show(word, colour, self._middle(run), self._right(run), self._share(run), best_so_far(run))

    def _middle(self, run: RunState) -> str:
        if run.phase is not None and run.outcome is None:
            done = "" if run.phase.progress is None else f" {run.phase.progress:.0%}"
            return f"{run.phase.name}{done}"
        flags = (("checkpoint", run.wants_checkpoint), ("evaluation", run.wants_evaluation))
        wanted = " and ".join(name for name, asked in flags if asked)
        return f"{wanted} requested" if wanted and self.size.width >= 100 else ""

    def _share(self, run: RunState) -> float | None:
        if run.phase is not None and run.outcome is None:
            return run.phase.progress
        return min(1.0, run.done / run.steps) if run.steps else None

    def _right(self, run: RunState) -> str:
        parts = []
        if run.steps:
            parts.append(f"step {numbers.count(run.done)}/{numbers.count(run.steps)}")
            if run.phase is None:
                parts.append(f"{run.done / run.steps:.0%}")
        if run.viewed is None:
            parts.append(f"elapsed {numbers.duration(run.pace.elapsed())}")
        if run.live and run.phase is None:
            left = run.pace.remaining(run.steps)
            parts.append(f"ETA ~{numbers.duration(left)}" if left is not None else "ETA ~?")
        return "  ".join(parts)


def best_so_far(run: RunState) -> str:
    """The best of the run's metric, the step and the time it took to get there: steps and evaluations, no pauses."""
    name = next((name for name in ("accuracy", "loss") if run.best(name) is not None), "")
    best = run.best(name)
    if best is None:
        return ""
    figure = (numbers.accuracy if name == "accuracy" else numbers.loss)(best.metrics[name])
    when = f", after {numbers.span(run.reached(best.step))} of steps"
    return f"  best held-out {name} {figure} at step {numbers.count(best.step)}{when}"


def state_word(run: RunState) -> str:
    """The state in a word; what was asked and is not confirmed yet ends in an ellipsis."""
    if run.outcome is not None:
        return run.outcome.kind
    if run.viewed is not None:
        return f"{run.viewed.word} elsewhere" if run.viewed.standing == "live" else run.viewed.standing
    if run.asked is not None:
        return f"{run.asked}…"
    return f"{run.state}…" if run.state in ("pausing", "stopping") else run.state
