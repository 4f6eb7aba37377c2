"""What is known about a run, built from what its feed says. No widget in here."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from msgspec import structs

from engine.preset.schema import Preset
from engine.protocol.events import (
    Changed,
    Checkpoint,
    Done,
    Error,
    Eval,
    Hello,
    Log,
    Phase,
    Returned,
    State,
    StateName,
    Step,
    Telemetry,
    Tried,
)
from engine.runs.changes import began_with
from engine.runs.directory import Summary
from engine.runs.usage import Usage
from zotui.app.state.eta import Pace
from zotui.app.state.feed import Begun, Ended, Item, Past, Viewed
from zotui.app.state.gauges import Gauges
from zotui.app.state.marks import Mark
from zotui.app.state.outcome import Outcome, OutcomeKind, outcome_of_records, outcome_without_goodbye
from zotui.app.state.results import Results
from zotui.runs.steps import Steps
from zotui.text import numbers
from zotui.text.changes import change

Asked = Literal["pausing", "resuming", "stopping"]
"""What was asked of the engine and not yet confirmed."""

EntryKind = Literal["state", "eval", "save", "change", "return", "phase", "ask", "info", "warning", "error", "debug"]


@dataclass(frozen=True)
class Entry:
    """A line of the event log."""

    at: float | None  # seconds since the epoch; None for what was read from the records
    kind: EntryKind
    text: str


class RunState(Results):
    """A run as the screen shows it."""

    def __init__(
        self,
        name: str,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._wall = wall
        self.name = name
        self.preset = self.model = self.runtime = self.device = self.dtype = ""
        self.steps = 0
        self.state: StateName = "starting"
        self.asked: Asked | None = None
        self._held = False  # paused or about to be; also while what was asked for meanwhile is done
        self.wants_checkpoint = self.wants_evaluation = False
        self.viewed: Summary | None = None  # set when only the records are watched
        self.phase: Phase | None = None
        self.outcome: Outcome | None = None
        self.fault = ""  # why the engine paused of its own accord, and cannot go on by itself
        self.waits = False  # whether it paused for what passes by itself
        self.resolved: Preset | None = None  # what the run was started with, where it can be read
        self.fold_every: int | None = None  # steps from one fold to the next
        self._took_over = 0  # steps, of a fork
        self._change: Changed | None = None  # the newest, with what the ratchet made of it
        self.marks: deque[Mark] = deque(maxlen=1000)
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
    def end(self) -> OutcomeKind | None:
        """How the run ended, as soon as that is known: of records, before they are read."""
        outcome = self.outcome or (outcome_of_records(self.viewed) if self.viewed else None)
        return outcome.kind if outcome else None

    @property
    def holding(self) -> bool:
        """Whether the run is paused or about to be; the pause key then resumes."""
        return self.asked == "pausing" or (self.asked is None and self._held)

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

    @property
    def in_force(self) -> Changed | None:
        """What the newest change or return left, or the preset without either; None where that cannot be read."""
        return self._change or (began_with(self.resolved, self._took_over) if self.resolved else None)

    def note(self, kind: Literal["ask", "info", "warning", "error"], text: str) -> None:
        """Add a line of the app's own to the log."""
        self._log(kind, text)

    def begin_again(self) -> None:
        """A new engine takes this run up; what is known of it stays."""
        self.outcome = self.viewed = self.phase = self.asked = self._error = None
        self.wants_checkpoint = self.wants_evaluation = False
        self.state, self._held = "starting", False
        self.fault, self.waits = "", False
        self.gauges.clear()
        self.pace.begin()
        self.note("info", "resuming")

    # -- what the feed says ---------------------------------------------------------------------

    def apply(self, item: Item) -> None:
        """Take one item of the feed."""
        match item:
            case Step():
                self.take_step(item)
                self.phase = None
                self.gauges.step(item)
                self.pace.step(item.step)
            case Telemetry():
                self.gauges.telemetry(item)
            case Past(event=Steps() as steps):
                self.take_steps(steps)
                if self.viewed is not None:  # else the speed is that of the engine which is watched
                    self.gauges.past_steps(steps)
            case Past(event=Eval() as evaluation):
                self._evaluation(evaluation, None)
            case Past(event=Changed() as changed):
                self._changed(changed, None)
            case Past(event=Returned() as returned):
                self._returned(returned, None)
            case Past(event=Mark() as mark):
                self.marks.append(mark)
            case Past(event=Usage() as taken):
                self.gauges.recorded = taken
            case Eval():
                self._evaluation(item, self._wall())
                self.wants_evaluation = False
                self.phase = None
            case State():
                self._state(item)
            case Checkpoint():
                self.wants_checkpoint = False
                self.marks.append(Mark(item.step, "checkpoint"))
                self._log(
                    "save",
                    f"checkpoint of step {numbers.count(item.step)} saved in {numbers.brief(item.seconds)}",
                )
            case Tried():
                self.tried.append(item)
            case Changed():
                self._changed(item, self._wall())
            case Returned():
                self._returned(item, self._wall())
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
                self._end(Outcome(item.outcome, item.reason, item.seconds, item.time))
                self.done = item.steps
            case Viewed():
                self._view(item)
            case Begun():
                self._begun_with(item.resolved, item.took_over)
                self.preset, self.model = item.preset, item.resolved.model.path
                self.steps, self.done = item.resolved.run.steps, item.done
                self.smooth_over(self.steps)
            case Ended():
                self._ended(item.code)

    def _hello(self, hello: Hello) -> None:
        self.name, self.preset, self.model = hello.name, hello.preset, hello.model
        self.runtime, self.device, self.dtype = hello.runtime, hello.device, hello.dtype
        self.steps, self.done = hello.steps, hello.first_step
        self.phase = None  # the start is over, also of a run that is held before its first step
        self.signal.noise, self.signal.dtype = hello.noise, hello.dtype
        self.pace.began_before(hello.seconds)
        self.smooth_over(hello.steps)
        self.curves.forget_from(hello.first_step)
        runs_on = f"{hello.runtime}, {hello.dtype}"
        again = f" from step {numbers.count(hello.first_step)}" if hello.first_step else ""
        self._log("info", f"{hello.model}, {runs_on}, {numbers.count(hello.steps)} steps{again}")

    def _evaluation(self, evaluation: Eval, at: float | None) -> None:
        if evaluation.split != "validation":  # the curve and the tiles are about one split
            self._log("eval", f"{evaluation.split}  {numbers.figures(evaluation.metrics)}", at)
            return
        self.take_evaluation(evaluation)
        self._log("eval", f"step {numbers.count(evaluation.step)}  {numbers.figures(evaluation.metrics)}", at)

    def _begun_with(self, resolved: Preset | None, took_over: int) -> None:
        self._took_over = took_over
        self.resolved, self.fold_every = resolved, resolved.method.interval if resolved else None

    def _changed(self, changed: Changed, at: float | None) -> None:
        before, self._change = self.in_force, changed
        self.marks.append(Mark(changed.step, "change"))
        self._log("change", f"from step {numbers.count(changed.step)} on  {change(before, changed)}", at)

    def _returned(self, returned: Returned, at: float | None) -> None:
        """The engine has it in words, too; the records only so."""
        now = self.in_force
        if now is not None and returned.step >= now.step:  # one that a fork took over is in its preset
            self._change = structs.replace(now, lr=now.lr / 2)
        self.marks.append(Mark(returned.step, "return"))
        to, lr = numbers.count(returned.to), numbers.significant(returned.lr)
        text = f"step {numbers.count(returned.step)}  returned to step {to}, rate halved to {lr}"
        self._log("return", text, at)

    def _state(self, event: State) -> None:
        if event.state in ("running", "paused"):
            self.fault, self.waits = "" if event.waits else event.reason, event.waits
        at = event.step or self.done  # an engine that is not there yet counts from none
        if event.state != self.state:
            if event.state == "paused" or (self.state == "paused" and event.state == "running"):
                self.marks.append(Mark(at, "pause" if event.state == "paused" else "resume"))
            reason = f" · {event.reason}" if event.reason else ""
            # An evaluation or a checkpoint has a line of its own, and the step after it is no news.
            if reason or event.state in ("paused", "stopping") or self.state in ("starting", "paused"):
                faulty = event.state == "paused" and event.reason
                self._log("error" if faulty else "state", f"{event.state} at step {numbers.count(at)}{reason}")
        if self.state == "checkpointing":  # also of a step that was saved before, which makes no new one
            self.wants_checkpoint = False
        self.state, self.done = event.state, max(self.done, event.step)
        self.pace.hold(event.state == "paused")
        if event.state in ("running", "evaluating") or event.reason:
            self.phase = None
        held = event.state in ("pausing", "paused")
        if held or event.state in ("running", "starting"):
            self._held = held
        # Another app may ask for the opposite: the engine's word counts.
        settled = held if self.asked == "pausing" else not held
        if self.asked in ("pausing", "resuming") and settled:
            self.asked = None

    def _view(self, viewed: Viewed) -> None:
        self._begun_with(viewed.resolved, viewed.took_over)
        self.smooth_over(viewed.summary.steps)
        summary = self.viewed = viewed.summary
        self.preset, self.model = summary.preset, viewed.model
        self.device, self.runtime = viewed.device, viewed.runtime
        self.signal.noise, self.signal.dtype = viewed.noise, viewed.dtype
        self.steps, self.done = summary.steps, summary.steps_done

    def _ended(self, code: int | None) -> None:
        if self.viewed is not None:
            outcome = outcome_of_records(self.viewed)
        else:
            outcome = self.outcome or outcome_without_goodbye(code, self._error, self.fault)
        if outcome is not None and outcome is not self.outcome:
            self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.asked = self.phase = None
        self.wants_checkpoint = self.wants_evaluation = False
        self.pace.end()
        said = self._error is not None and self._error.text == outcome.text  # when it came
        if outcome.kind != "refused" and self.viewed is None and not said:
            self._log("error" if outcome.kind == "died" else "state", outcome.text or outcome.kind)

    def _log(
        self,
        kind: EntryKind,
        text: str,
        at: float | None = -1.0,
    ) -> None:
        self.entries.append(Entry(self._wall() if at == -1.0 else at, kind, text))
        self.entries_made += 1
