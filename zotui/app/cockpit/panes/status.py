"""The line of progress: state, bar, steps, elapsed time and the estimate of what is left."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

from engine.runs.best import judge
from zotui.app.state.method_now import method_now
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


class StatusLine(Widget):
    """What the run is doing, how far it is and how long it takes, on one line."""

    SCOPED_CSS = False  # the size of the screen is a class on the screen
    DEFAULT_CSS = """
    StatusLine {
        height: 1;
        padding: 0 1;
        background: $surface;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    .-tall StatusLine, .-huge StatusLine { height: 3; padding: 1 2 0 2; }
    """

    def __init__(self) -> None:
        super().__init__(id="status")
        self._shown: tuple[str, str, str, str, float | None, tuple[str, ...], tuple[str, ...]] | None = None

    def _show(
        self,
        word: str,
        colour: str,
        middle: str,
        right: str,
        share: float | None,
        best: tuple[str, ...],
        method: tuple[str, ...],
    ) -> None:
        """The state in a word, what qualifies it, the figures, the share that is done, if known, and a second line.

        That has what is best and the method, each in full and in short. Drawn again only when a character changed.
        """
        parts = (word, colour, middle, right, share, best, method)
        if parts != self._shown:
            self._shown = parts
            self.refresh()

    def render(self) -> Content:
        """Left the state, right the figures, and the bar in what is left between them."""
        if self._shown is None:
            return Content("")
        word, colour, middle, right, share, best, method = self._shown
        left = Content.assemble(("● ", colour), (word, "bold"))
        if middle:
            left = Content.assemble(left, "  ", (middle, "$quiet"))
            left = left.truncate(max(12, self.content_size.width - len(right) - 4), ellipsis=True)
        room = self.content_size.width - left.cell_length - len(right) - 4
        bar = _bar(share, min(room, 120)) if share is not None and room >= 6 else Content("")
        gap = " " * max(2, room - bar.cell_length + 2)
        line = Content.assemble(left, "  ", bar, gap, right)
        if self.content_size.height < 2:
            return line
        return Content.assemble(line, "\n", (_both(best, method, self.content_size.width), "$quiet"))

    def refresh_status(self, run: RunState) -> None:
        """Show where the run is."""
        word = state_word(run)
        colour = _COLOURS.get(word, "$primary")
        now = method_now(run)
        method = now.words(), now.words(spread=False)
        self._show(word, colour, self._middle(run), self._right(run), self._share(run), best_so_far(run), method)

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


def best_so_far(run: RunState) -> tuple[str, ...]:
    """The best of the run's metric, the step and the time of the steps until then; and without the time."""
    best = run.best()
    if best is None or (not best.step and len(run.evaluations) == 1):  # no other one is there to be better
        return "", ""
    name = judge(best.metrics)
    figure = numbers.metric_figure(name, best.metrics[name]) if name else numbers.NOTHING
    short = f"  best held-out {name} {figure} {numbers.at_step(best.step)}"
    if not best.step:
        return f"{short}: the run only did harm so far", short
    return f"{short}, after {numbers.span(run.reached(best.step))} of steps", short


def _both(left: tuple[str, ...], right: tuple[str, ...], width: int) -> str:
    """One on either side, each in full if there is room; the left one is cut where even the short ones have none."""
    pairs = [(left[0], right[0]), (left[0], right[1]), (left[1], right[1])]
    one, other = next((pair for pair in pairs if sum(map(len, pair)) + 2 <= width), pairs[-1])
    return one[: max(0, width - len(other) - 2)].ljust(width - len(other)) + other


def state_word(run: RunState) -> str:
    """The state in a word; what was asked and is not confirmed yet ends in an ellipsis."""
    if run.outcome is not None:
        return run.outcome.kind
    if run.viewed is not None:
        return f"{run.viewed.word} elsewhere" if run.viewed.standing == "live" else run.viewed.standing
    if run.asked is not None:
        return f"{run.asked}…"
    return f"{run.state}…" if run.state in ("pausing", "stopping") else run.state


def _bar(share: float, width: int) -> Content:
    """A thin bar of `width` cells, to half a cell; an engine may claim any share."""
    halves = round(min(1.0, max(0.0, share)) * width * 2)
    full, half = divmod(halves, 2)
    empty = width - full - half
    return Content.assemble(("━" * full + "╸" * half, "$primary"), ("─" * empty, "$faint"))
