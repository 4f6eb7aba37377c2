"""Evaluations: a split measured in slices, between which the run can be told to stop; on record, and which is best."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
from msgspec import structs

from engine.clients.inbox import Inbox
from engine.errors import NotFinite
from engine.preflight.open import Opened
from engine.preset.run import Run
from engine.preset.schema import Preset
from engine.protocol.events import Eval, Event
from engine.runs.best import best_evaluation, least_loss, waited
from engine.runs.directory import RunDir
from engine.training.disk_wait import DiskWait
from engine.training.measure import Measure
from engine.training.stopwatch import Stopwatch


class Evaluations:
    """Those of a run, of its validation split."""

    def __init__(
        self,
        run: RunDir,
        opened: Opened,
        inbox: Inbox,
        emit: Callable[[Event], None],
        watch: Stopwatch,
        disk_wait: DiskWait,
    ) -> None:
        self._run, self._task = run, opened.task
        self._measure = Measure(opened.runtime, opened.task, opened.encoder)
        self._inbox, self._emit, self._watch, self._disk_wait = inbox, emit, watch, disk_wait
        self.taken: list[Eval] = []

    def restore(self) -> None:
        """Take up those on record."""
        self.taken = self._run.evaluations()

    @property
    def at(self) -> int:
        """After how many steps the newest was taken; -1 before there is one."""
        return self.taken[-1].step if self.taken else -1

    @property
    def metrics(self) -> dict[str, float]:
        """Those of the newest."""
        return self.taken[-1].metrics if self.taken else {}

    def best(self) -> int | None:
        """After how many steps the best was taken; 0 is the model as it came."""
        best = best_evaluation(self.taken)
        return best.step if best else None

    def least(self, up_to: int) -> int | None:
        """The same of the one with the least loss, by the rule of the ratchet."""
        least = least_loss(self.taken, up_to)
        return least.step if least else None

    def left_behind(self, preset: Preset) -> str:
        """What a run with a ratchet says of a better state that no step is left to return to; nothing without one."""
        least = self.least(self.at)
        if not preset.method.ratchet or least is None:
            return ""
        loss = next(one.metrics["loss"] for one in self.taken if one.step == least)
        there = (
            f"zotui fork {self._run.name} --step {least} goes on from there" if least else "that of the model itself"
        )
        better = loss < self.metrics["loss"]
        return f"the last evaluation is worse than the one after {least} steps; {there}" if better else ""

    def without_patience(self, done: int, preset: Preset) -> str:
        """Why the run is to end after `done` steps, by `run.patience`; nothing where it goes on.

        A fork counts from where it began.
        """
        if not preset.run.patience or self.at != done or done >= preset.run.steps:
            return ""
        origin = self._run.info.read().forked_from
        count, least = waited(self.taken, origin.step if origin else 0), least_loss(self.taken, done)
        if count < preset.run.patience or least is None:
            return ""
        where = f"after {least.step:,} steps" if least.step else "before training: the run only did harm"
        return (
            f"stopped early after {done:,} of {preset.run.steps:,} steps: {count} evaluations without a better "
            f"validation loss than {least.metrics['loss']:.4f} {where} (run.patience)"
        )

    def take(self, done: int, preset: Preset) -> bool:
        """Evaluate the state after `done` steps, once: whether it was not before. What was is told again.

        Raises `NotFinite`, and `Stopped` when the run is to end.
        """
        self._inbox.enter("evaluating", done)
        if self.at == done:  # of this very state, so the same would come of it
            self._emit(structs.replace(self.taken[-1], seconds=0.0))
            return False
        with self._watch.during("evaluations") as lap:
            metrics = self._measure.of(self._task.validation, self._inbox.check_stop)
            _refuse_not_finite(metrics, done, preset.method.lr)
        self._watch.save()
        judged = preset.method.ratchet or preset.run.patience
        due = msgspec.UNSET if not judged or is_due(preset.run, done) else False
        count, texts = len(self._task.validation), sum(bool(one.answers) for one in self._task.validation)
        taken = Eval(
            step=done, metrics=metrics, examples=count, generated=texts or msgspec.UNSET, seconds=lap.seconds, due=due
        )
        self._disk_wait.write(self._run.evaluations_file.name, done, lambda: self._run.add_evaluation(taken))
        self.taken.append(taken)
        self._emit(taken)
        return True


def is_due(run: Run, done: int) -> bool:
    """Whether an evaluation is due after so many steps: before the first, and every `run.eval_every`."""
    return done == 0 or (run.eval_every is not None and done % run.eval_every == 0)


def _refuse_not_finite(metrics: dict[str, float], steps_done: int, lr: float) -> None:
    """Raise `NotFinite` for a loss that is none."""
    if math.isfinite(metrics["loss"]):
        return
    # Before the first step it is the model itself that overflows.
    lower = f"a lower method.lr (now {lr:g}) or " if steps_done else ""
    raise NotFinite(
        f"the validation loss after {steps_done} steps is not a finite number ({metrics['loss']:.4g}); "
        f"try {lower}model.dtype=float32 in a new run"
    )
