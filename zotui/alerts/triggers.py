"""What of a run is worth telling someone who does not look: its end, its failure, a new best."""

from __future__ import annotations

from dataclasses import dataclass

from engine.protocol.events import AnyEvent, Done, Error, Eval, State
from engine.runs.best import LOWER_IS_BETTER, judge
from engine.runs.directory import RunDir, Standing
from zotui.home.config import EventName
from zotui.text import numbers


@dataclass(frozen=True)
class Notice:
    """Something that happened to a run, in words, and as the figures behind it."""

    event: EventName
    run: str
    path: str
    text: str
    metric: str = ""
    value: float | None = None
    step: int | None = None


class Notices:
    """Finds in the events of one run what is worth telling, each thing once."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._taken: list[Eval] = []
        self._told = self._over = False

    def remember(self, evaluation: Eval) -> None:
        """An evaluation that was taken before anybody watched: it is no news."""
        if evaluation.split == "validation":
            self._taken.append(evaluation)

    def begin_again(self) -> None:
        """A new engine takes the run up; what was best so far stays."""
        self._told = self._over = False

    def see(self, event: AnyEvent) -> Notice | None:
        """What is worth telling about this event."""
        match event:
            case Eval():
                return self._best(event)
            case State(state="paused", reason=reason, waits=False) if reason:
                return self._failed(f"is held at step {numbers.count(event.step)}: {reason}", event.step)
            case State(state="running"):
                self._told = False  # what was held goes on
            case Error(kind="failure"):
                self._over = True
                return self._failed(event.text)
            case Error():  # refused before its first step, to the face of who launched it
                self._over = True
            case Done(outcome="finished"):
                self._over = True
                text = f"finished {numbers.count(event.steps)} steps  {numbers.figures(event.metrics)}".rstrip()
                metric, value = _figure(event.metrics)
                return self._notice("finished", text, metric=metric, value=value, step=event.steps)
            case Done():
                self._over = True
        return None

    def ended(self, standing: Standing = "crashed") -> Notice | None:
        """No more will come: without a word that is a failure, unless its records say where the run `standing` is."""
        if self._over or standing in ("live", "stopped", "new"):
            return None
        return self._notice("finished", "finished") if standing == "finished" else self._failed("ended unexpectedly")

    def _failed(self, text: str, step: int | None = None) -> Notice | None:
        if self._told:  # the end of a run that is held says the same again
            return None
        self._told = True
        return self._notice("failed", text, step=step)

    def _best(self, evaluation: Eval) -> Notice | None:
        if evaluation.split != "validation":
            return None
        before, (metric, value) = self._taken, _figure(evaluation.metrics)
        self._taken = [*before, evaluation]
        earlier = [taken.metrics[metric] for taken in before if metric in taken.metrics]
        if not earlier or value is None:
            return None
        if value >= min(earlier) if metric in LOWER_IS_BETTER else value <= max(earlier):
            return None
        text = f"new best at step {numbers.count(evaluation.step)}  {numbers.figures(evaluation.metrics)}"
        return self._notice("best", text, metric=metric, value=value, step=evaluation.step)

    def _notice(
        self, event: EventName, text: str, *, metric: str = "", value: float | None = None, step: int | None = None
    ) -> Notice:
        return Notice(event, self._run.name, str(self._run.path), f"{self._run.name} {text}", metric, value, step)


def _figure(metrics: dict[str, float]) -> tuple[str, float | None]:
    """The one figure that a run is judged by, with its name, if there is one."""
    metric = judge(metrics)
    return metric, metrics.get(metric)
