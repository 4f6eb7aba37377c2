"""What a person sees of a run without the cockpit: lines on stderr, and a table at the end."""

from __future__ import annotations

import os
import shutil
import sys
import time

from engine.protocol.events import AnyEvent, Checkpoint, Done, Eval, Hello, Log, Phase, State, Step
from engine.runs.best import best_evaluation, by_weight
from engine.text import plain
from zotui.text import numbers
from zotui.text.output import talk, write

_SMOOTH = 0.05  # weight of a new step in the smoothed loss and speed
_EVERY_SECONDS = 10.0  # between progress lines where a line cannot be redrawn
_EVERY_PART = 0.05  # of the run, likewise, but not more often than ...
_LEAST_SECONDS = 2.0
_REDRAW = 0.1  # seconds between redraws on a terminal


class Progress:
    """Shows events as they come; `quiet` shows only warnings."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._redraws = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._on_line = False  # whether the cursor stands on a line that will be redrawn
        self._shown_at = 0.0
        self._shown_part = -1.0
        self._phase = ""
        self._steps = 0
        self._first: tuple[int, float] | None = None  # the first step seen, and when
        self._loss: float | None = None
        self._speed: float | None = None

    def show(self, event: AnyEvent) -> None:
        """Show what is worth showing of an event."""
        if isinstance(event, Log):
            if event.level in ("warning", "error"):
                self._line(f"{event.level}: {event.text}")
            elif event.level == "info" and not self._quiet:
                self._line(event.text)
        elif self._quiet:
            return
        elif isinstance(event, Hello):
            self._steps = event.steps
            begin = f", from step {numbers.count(event.first_step)}" if event.first_step else ""
            self._line(
                f"{event.name}: {event.model} on {event.device}, {event.runtime}, {event.dtype}, "
                f"{numbers.count(event.steps)} steps{begin}"
            )
        elif isinstance(event, Phase):
            self._show_phase(event)
        elif isinstance(event, Step):
            self._show_step(event)
        elif isinstance(event, Eval):
            self._line(
                f"step {numbers.count(event.step)}: {event.split} {numbers.figures(event.metrics)} "
                f"({numbers.count(event.examples)} examples, {numbers.brief(event.seconds)})"
            )
        elif isinstance(event, Checkpoint):
            self._line(f"step {numbers.count(event.step)}: checkpoint saved ({numbers.brief(event.seconds)})")
        elif isinstance(event, State) and event.state == "paused" and event.reason:
            self._line(f"paused at step {numbers.count(event.step)}: {event.reason}")
        elif isinstance(event, State) and event.state == "stopping":
            self._line(f"stopping: {event.reason or 'the step in flight is finished and saved first'}")

    def clear(self) -> None:
        """Take the line that was being redrawn off the terminal."""
        if self._on_line:
            self._on_line = False
            write("\r\x1b[2K")

    def _show_phase(self, event: Phase) -> None:
        text = " ".join(part for part in (event.name, event.detail) if part)
        if self._redraws:
            self._redraw(text if event.progress is None else f"{text} {event.progress:.0%}")
        elif text != self._phase:
            self._line(text)
        self._phase = text

    def _show_step(self, event: Step) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = (event.step, now - event.seconds)
        self._loss = _smooth(self._loss, event.loss)
        self._speed = _smooth(self._speed, event.tokens_per_s)
        done = event.step + 1
        part = done / self._steps if self._steps else 0.0
        last = done == self._steps
        waited = now - self._shown_at
        if self._redraws:
            due = waited >= _REDRAW
        else:
            due = waited >= _EVERY_SECONDS or (waited >= _LEAST_SECONDS and part - self._shown_part >= _EVERY_PART)
        if not (due or last):
            return
        self._shown_at, self._shown_part = now, part
        total = f"/{numbers.count(self._steps)}" if self._steps else ""
        text = (
            f"step {numbers.count(done)}{total}  loss {numbers.loss(self._loss)}  "
            f"{numbers.count(self._speed)} tok/s{self._eta(done, now)}"
        )
        if self._redraws:
            self._redraw(text)
        else:
            self._line(text)

    def _eta(self, done: int, now: float) -> str:
        assert self._first is not None
        first, began = self._first
        left = self._steps - done
        if done - first < 3 or left <= 0:  # the first steps are no measure
            return ""
        return f"  ETA ~{numbers.duration((now - began) / (done - first) * left)}"

    def _line(self, text: str) -> None:
        self.clear()
        talk(text)

    def _redraw(self, text: str) -> None:
        width = shutil.get_terminal_size().columns
        self._on_line = True
        write(f"\r\x1b[2K{plain(text)[: width - 1]}")


def result_table(evaluations: list[Eval], done: Done, following: str) -> list[str]:
    """Before, after and best of every metric, and where the run is; `following` is the next command."""
    split = evaluations[0].split if evaluations else ""
    taken = [evaluation for evaluation in evaluations if evaluation.split == split]
    lines = []
    if taken:
        lines.append(f"{split:<12}{'before':>10}{'after':>10}{'best':>10}")
    for name in sorted({name for e in taken for name in e.metrics}, key=by_weight):
        having = [e for e in taken if e.metrics.get(name) is not None]
        best = best_evaluation(having, name)
        shown = [having[0].metrics[name], having[-1].metrics[name], *([best.metrics[name]] if best else [])]
        cells = "".join(f"{numbers.metric_figure(name, value):>10}" for value in shown)
        lines.append(f"{name:<12}{cells}" + (f"  {numbers.at_step(best.step)}" if best else ""))
    lines += [
        f"{'steps':<12}{numbers.count(done.steps)}{'' if done.outcome == 'finished' else ' (stopped)'}",
        *([f"{'why':<12}{done.reason}"] if done.reason else []),
        f"{'wall-clock':<12}{numbers.duration(done.time['total'] if done.time else done.seconds)}",
        *([f"{'time':<12}{numbers.time_spent(done.time)}"] if done.time else []),
        f"{'run':<12}{done.run}",
        f"{'next':<12}{following}",
    ]
    return lines


def _smooth(before: float | None, value: float) -> float:
    return value if before is None else before + _SMOOTH * (value - before)
