"""What is known about a run, built from what its feed says. No widget in here."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from msgspec import structs

from engine.messages import (
    Changed,
    Checkpoint,
    Done,
    Error,
    Eval,
    Hello,
    Log,
    Phase,
    State,
    StateName,
    Step,
    Telemetry,
    Tried,
)
from engine.rundir import Summary
from engine.signal_figures import Signal
from zotui.app import words
from zotui.app.feed import Ended, Item, Past, Viewed
from zotui.app.gauges import Gauges
from zotui.app.pace import Pace
from zotui.app.series import LossSeries

Asked = Literal["pausing", "resuming", "stopping"]
"""What was asked of the engine and not yet confirmed."""

OutcomeKind = Literal["finished", "stopped", "died", "refused"]


@dataclass(frozen=True)
class Outcome:
    """How a run, or the watching of it, ended."""

    kind: OutcomeKind
    text: str
    seconds: float | None = None
    time: dict[str, float] | None = None  # measured seconds of the whole run by kind

    @property
    def resumable(self) -> bool:
        """Whether going on makes sense."""
        return self.kind in ("stopped", "died")


@dataclass(frozen=True)
class Entry:
    """A line of the event log."""

    at: float | None  # seconds since the epoch; None for what was read from the records
    kind: Literal["state", "eval", "save", "change", "phase", "ask", "info", "warning", "error", "debug"]
    text: str


class RunState:
    """A run as the screen shows it."""

    def __init__(
        self,
        name: str,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._wall = wall
        self.name = name
        self.preset = self.model = self.runtime = self.device = self.dtype = ""
        self.steps = 0
        self.done = 0
        self.state: StateName = "starting"
        self.asked: Asked | None = None
        self.wants_checkpoint = self.wants_evaluation = False
        self.viewed: Summary | None = None  # set when only the records are watched
        self.phase: Phase | None = None
        self.outcome: Outcome | None = None
        self.losses, self.signal = LossSeries(), Signal()
        self.update_kept: Step | None = None  # the newest step that tells it
        self.fault = ""  # why the engine paused of its own accord, and cannot go on by itself
        self.waits = False  # whether it paused for what passes by itself
        self.evaluations: dict[int, Eval] = {}
        self.gauges = Gauges(clock)
        self.pace = Pace(clock)
        self.entries: deque[Entry] = deque(maxlen=1000)
        self.entries_made = 0
        self.tried: deque[Tried] = deque(maxlen=100)
        self._error: Error | None = None

    # -- what the cockpit asks ------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """Whether an engine is at work that this app can steer."""
        return self.outcome is None and self.viewed is None

    @property
    def holding(self) -> bool:
        """Whether the run is paused or about to be; the pause key then resumes."""
        return self.asked == "pausing" or (self.asked is None and self.state in ("pausing", "paused"))

    @property
    def first_evaluation(self) -> Eval | None:
        """The earliest evaluation: before training, unless the records lack it."""
        return self.evaluations[min(self.evaluations)] if self.evaluations else None

    @property
    def last_evaluation(self) -> Eval | None:
        """The latest evaluation."""
        return self.evaluations[max(self.evaluations)] if self.evaluations else None

    def best(self, metric: str) -> Eval | None:
        """The evaluation with the best `metric`: highest accuracy, lowest loss."""
        having = [taken for taken in self.evaluations.values() if metric in taken.metrics]
        sign = -1.0 if metric == "loss" else 1.0
        return max(having, key=lambda taken: sign * taken.metrics[metric], default=None)

    def ask(self, what: Asked | Literal["checkpoint", "evaluation"]) -> None:
        """Note what was just asked of the engine."""
        if what == "checkpoint":
            self.wants_checkpoint = True
            self.note("ask", "checkpoint requested")
        elif what == "evaluation":
            self.wants_evaluation = True
            self.note("ask", "evaluation requested")
        else:
            self.asked = what
            self.note(
                "ask",
                {"pausing": "pause", "resuming": "resume", "stopping": "stop and save"}[what] + " requested",
            )

    def note(self, kind: Literal["ask", "info", "warning", "error"], text: str) -> None:
        """Add a line of the app's own to the log."""
        self._log(kind, text)

    def begin_again(self) -> None:
        """A new engine takes this run up; what is known of it stays."""
        self.outcome = self.viewed = self.phase = self.asked = self._error = None
        self.wants_checkpoint = self.wants_evaluation = False
        self.state = "starting"
        self.gauges.clear()
        self.pace.begin()
        self.note("info", "resuming")

    # -- what the feed says ---------------------------------------------------------------------

    def apply(self, item: Item) -> None:
        """Take one item of the feed."""
        match item:
            case Step():
                self._step(item)
                self.phase = None
                self.gauges.step(item)
                self.pace.step(item.step)
            case Telemetry():
                self.gauges.telemetry(item)
            case Past(event=Step() as step):
                self._step(step)
            case Past(event=Eval() as evaluation):
                self._evaluation(evaluation, None)
            case Eval():
                self._evaluation(item, self._wall())
                self.wants_evaluation = False
                self.phase = None
            case State():
                self._state(item)
            case Checkpoint():
                self.wants_checkpoint = False
                self._log(
                    "save",
                    f"checkpoint of step {words.count(item.step)} saved in {words.brief(item.seconds)}",
                )
            case Tried():
                self.tried.append(item)
            case Changed():
                self._log("change", changed_line(item))
            case Phase():
                if self.phase is None or self.phase.name != item.name:
                    self._log("phase", f"{item.name}{' · ' + item.detail if item.detail else ''}")
                self.phase = item
            case Log():
                self._log(item.level, item.text)
            case Hello():
                self._hello(item)
            case Error():
                self._error = item
                self._log("error", item.text)
            case Done():
                self._end(Outcome(item.outcome, "", item.seconds, item.time))
                self.done = item.steps
            case Viewed():
                self._view(item)
            case Ended():
                self._ended(item.code)

    def _hello(self, hello: Hello) -> None:
        self.name, self.preset, self.model = hello.name, hello.preset, hello.model
        self.runtime, self.device, self.dtype = hello.runtime, hello.device, hello.dtype
        self.steps, self.done = hello.steps, hello.first_step
        self.signal.noise, self.signal.dtype = hello.noise, hello.dtype
        self.pace.began_before(hello.seconds)
        if self.losses.x:
            self.losses.forget_from(hello.first_step)
        else:
            self.losses = LossSeries(span=smoothing_span(hello.steps))
        runs_on = f"{hello.runtime}, {hello.dtype}"
        again = f" from step {words.count(hello.first_step)}" if hello.first_step else ""
        self._log("info", f"{hello.model}, {runs_on}, {words.count(hello.steps)} steps{again}")

    def _step(self, step: Step) -> None:
        self.done = max(self.done, step.step + 1)  # what was read comes after `Hello`, which counts it
        self.signal.add(**structs.asdict(step))
        self.losses.add(step.step, step.loss)
        if step.update_kept is not None:
            self.update_kept = step

    def _evaluation(self, evaluation: Eval, at: float | None) -> None:
        if evaluation.split != "validation":  # the curve and the tiles are about one split
            self._log("eval", f"{evaluation.split}  {words.figures(evaluation.metrics)}", at)
            return
        self.evaluations[evaluation.step] = evaluation
        self._log("eval", f"step {words.count(evaluation.step)}  {words.figures(evaluation.metrics)}", at)

    def _state(self, event: State) -> None:
        if event.state in ("running", "paused"):
            self.fault, self.waits = "" if event.waits else event.reason, event.waits
        if event.state != self.state:
            reason = f" · {event.reason}" if event.reason else ""
            # An evaluation or a checkpoint has a line of its own, and the step after it is no news.
            if reason or event.state in ("paused", "stopping") or self.state in ("starting", "paused"):
                faulty = event.state == "paused" and event.reason
                self._log("error" if faulty else "state", f"{event.state} at step {words.count(event.step)}{reason}")
        if self.state == "checkpointing":  # also of a step that was saved before, which makes no new one
            self.wants_checkpoint = False
        self.state, self.done = event.state, max(self.done, event.step)
        self.pace.hold(event.state == "paused")
        if event.state in ("running", "evaluating") or event.reason:
            self.phase = None
        settled = event.state == "paused" if self.asked == "pausing" else event.state not in ("pausing", "paused")
        if self.asked in ("pausing", "resuming") and settled:
            self.asked = None

    def _view(self, viewed: Viewed) -> None:
        if not self.losses.x:
            self.losses = LossSeries(span=smoothing_span(viewed.summary.steps))
        summary = self.viewed = viewed.summary
        self.preset, self.model = summary.preset, viewed.model
        self.device, self.runtime = viewed.device, viewed.runtime
        self.signal.noise, self.signal.dtype = viewed.noise, viewed.dtype
        self.steps, self.done = summary.steps, summary.steps_done

    def _ended(self, code: int | None) -> None:
        if self.viewed is not None:
            if self.viewed.standing in ("finished", "stopped"):
                self._end(Outcome("finished" if self.viewed.standing == "finished" else "stopped", ""))
            elif self.viewed.standing != "live":
                self._end(Outcome("died", self.viewed.error or "the engine ended without saying why"))
        elif self.outcome is None:
            if self._error is not None and self._error.text == self.fault:
                self._end(Outcome("stopped", self.fault))  # as it was asked to, while it could not go on
            elif self._error is not None:
                self._end(Outcome("refused" if self._error.kind == "usage" else "died", self._error.text))
            else:
                how = "" if code is None else f" ({explain_exit(code)})"
                self._end(Outcome("died", f"the engine ended without saying why{how}"))

    def _end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.asked = self.phase = None
        self.wants_checkpoint = self.wants_evaluation = False
        self.pace.end()
        if outcome.kind != "refused" and self.viewed is None:
            self._log("error" if outcome.kind == "died" else "state", outcome.text or outcome.kind)

    def _log(
        self,
        kind: Literal["state", "eval", "save", "change", "phase", "ask", "info", "warning", "error", "debug"],
        text: str,
        at: float | None = -1.0,
    ) -> None:
        self.entries.append(Entry(self._wall() if at == -1.0 else at, kind, text))
        self.entries_made += 1


def changed_line(changed: Changed) -> str:
    """A change of the settings, for the log."""
    every = f"every {words.count(changed.eval_every)} steps" if changed.eval_every else "only at the end"
    return f"from step {words.count(changed.step)} on: lr {changed.lr:g}, eps {changed.eps:g}, evaluated {every}"


def smoothing_span(steps: int) -> int:
    """Over about how many steps the loss is smoothed: a twentieth of the run, within bounds."""
    return max(10, min(200, steps // 20))


def explain_exit(code: int) -> str:
    """An exit code in words."""
    if code <= 128:
        return f"exit code {code}"
    try:
        name = signal.Signals(code - 128).name
    except ValueError:
        return f"exit code {code}"
    hint = "; often the system running out of memory" if name == "SIGKILL" else ""
    return f"killed by {name}{hint}"
