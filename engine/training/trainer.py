"""The loop: steps, evaluations and checkpoints in order, requests in between, everything recorded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.clients.inbox import Inbox, Request, Stopped
from engine.errors import NotFinite
from engine.methods.lozo import Lozo
from engine.preflight.open import Opened
from engine.preset.schema import Preset
from engine.protocol.commands import Change, Save, Try
from engine.protocol.events import Changed, Checkpoint, Eval, Event, Log, Phase, Step
from engine.runs import checkpoints
from engine.runs.best import best_evaluation
from engine.runs.changes import Settings, Steering
from engine.runs.directory import RunDir
from engine.runs.journal import JournalWriter
from engine.runs.signal import WINDOW, Signal
from engine.tasks.batches import batch
from engine.training.disk_wait import DiskWait
from engine.training.evaluation import evaluate, refuse_not_finite
from engine.training.noise import Noise, measure_noise
from engine.training.stopwatch import Stopwatch
from engine.training.try_it import Trying


class Trainer:
    """Runs one preset in one run directory, from the first step that is not in the journal."""

    def __init__(
        self,
        run: RunDir,
        wanted: Preset,
        opened: Opened,
        inbox: Inbox,
        emit: Callable[[Event], None],
        watch: Stopwatch,
        disk_wait: DiskWait,
    ) -> None:
        self._run, self._wanted, self._opened = run, wanted, opened
        self._runtime, self._task = opened.runtime, opened.task
        self._inbox, self._emit, self._watch, self._disk_wait = inbox, emit, watch, disk_wait
        self._steering = Steering(run, wanted)
        self._settings: Settings | None = None
        self._trying = Trying(opened.runtime, opened.task, opened.encoder)
        self._adopt(0)
        # CUDA draws otherwise on another model of GPU.
        self._drew = "cpu" if opened.device.startswith("cpu") else opened.device.partition(" ")[2].strip("()")
        self._evaluated_at = -1
        self._saved_at = -1
        self._signal = Signal(dtype=opened.dtype, rank=wanted.method.rank)
        self._warned = ""  # the kind of the verdict that was last warned of
        self.steps_done = 0
        self.metrics: dict[str, float] = {}
        self._evaluations: list[dict[str, Any]] = []

    def _adopt(self, step: int) -> bool:
        """Take on the settings that are in force at a step; whether they are others than before."""
        settings = self._steering.at(step)
        if settings == self._settings:
            return False
        self._settings = settings
        self._preset = settings.within(self._wanted)
        self._method = Lozo(self._preset.method, self._preset.run.steps, self._task.objective)
        return True

    def restore(self) -> str:
        """Rebuild the state from the newest checkpoint and the journal; returns a line for the log."""
        records = self._rebuild()
        for record in records:
            self._signal.add(**record)
        self.steps_done = len(records)
        self._adopt(self.steps_done)
        self._restore_metrics()
        elsewhere = {record.get("drew", self._drew) for record in records} - {self._drew}
        if elsewhere:
            return f"replayed {len(records)} steps drawn on {', '.join(elsewhere)}: not exact on {self._drew}"
        return f"rebuilt the state after {len(records)} steps from the journal"

    def measure_noise(self) -> Noise | None:
        """The noise of a loss here and now, on the batch that comes next. Moves nothing."""
        run = self._preset.run
        examples = batch(self._task.train, self.steps_done, run.batch_size, run.seed)
        queries = self._preset.method.queries
        found = measure_noise(self._runtime, self._task.objective, examples, dtype=self._opened.dtype, queries=queries)
        self._signal.noise = found.nats if found else None
        return found

    def _rebuild(self) -> list[dict[str, Any]]:
        """Bring the weights to where the journal ends; returns its records."""
        records = list(self._run.journal())
        found, damaged = checkpoints.newest(self._run, len(records))
        for name in damaged:
            self._emit(Log(level="warning", text=f"checkpoints/{name} is damaged: passed over, it can be deleted"))
        first = 0
        if found is not None:
            first = found.replay_from
            self._runtime.load_weights(found.weights, first)
            if first % self._preset.method.interval:
                self._runtime.redraw(first - first % self._preset.method.interval)
            if found.step == len(records):
                self._saved_at = found.step
        for record in records[first:]:
            self._method.replay(self._runtime, record)
            done = (record["step"] + 1 - first) / max(1, len(records) - first)
            if record["step"] % 50 == 0 or done == 1:
                self._emit(Phase(name="replaying the journal", progress=done, detail=f"step {record['step']}"))
        return records

    def train(self) -> None:
        """Steps to the end. Raises `Stopped`, with the state saved, when asked to stop."""
        # Opened for a moment, to cut off what a dead engine left half written.
        self._open_records(self._run.evaluations_file).close()
        self._open_records(self._run.changes_file, "a change that was not confirmed").close()
        writer = self._open_records(self._run.journal_file)
        try:
            self._watch.started()
            self._inbox.started(self.steps_done)
            self._answer_requests()
            self._do_what_is_due()  # also what a dead engine did not come to
            while self.steps_done < self._preset.run.steps:
                self._answer_requests()
                self._until_finite(lambda: self._step(writer))
                self._do_what_is_due()
            if self._evaluated_at != self.steps_done:
                self._until_finite(self._evaluate)
            with suppress(Stopped):  # everything is done: it ends as finished in any case
                self._answer_requests()
        finally:
            try:
                writer.close()
            except OSError as error:
                text = f"the end of {self._run.journal_file.name} may not be on the disk yet ({error.strerror})"
                self._emit(Log(level="warning", text=text))

    def _open_records(self, path: Path, lost: str = "what they held is done again") -> JournalWriter:
        writer = self._disk_wait.write(path.name, self.steps_done, lambda: JournalWriter(path))
        if writer.dropped:
            text = f"{path.name}: its last {writer.dropped} bytes were torn and are dropped; {lost}"
            self._emit(Log(level="warning", text=text))
        return writer

    def _do_what_is_due(self) -> None:
        """The evaluation and the checkpoint of this step, unless they are there."""
        run, done = self._preset.run, self.steps_done
        if self._evaluated_at != done and (done == 0 or (run.eval_every and done % run.eval_every == 0)):
            self._until_finite(self._evaluate)
        if done and run.checkpoint_every and done % run.checkpoint_every == 0:
            self.save()

    def save(self) -> None:
        """Write a checkpoint of the state as it is, unless there is one of this very state; prune old ones."""
        self._inbox.enter("checkpointing", self.steps_done)  # which also answers one who asks for it again
        if self._saved_at == self.steps_done:
            return
        with self._watch.during("checkpoints") as lap:
            write = self._runtime.save_weights, self._runtime.weights_since()
            path = self._disk_wait.write(
                "the checkpoint", self.steps_done, lambda: checkpoints.save(self._run, self.steps_done, *write)
            )
        best = best_evaluation(self._evaluations)
        checkpoints.prune(self._run, self._preset.run.keep_checkpoints, best["step"] if best else None)
        self._watch.save()
        self._saved_at = self.steps_done
        self._emit(Checkpoint(step=self.steps_done, path=str(path), seconds=lap.seconds))

    def _until_finite(self, act: Callable[[], None]) -> None:
        """Do it. Where its numbers are not finite, hold the run as it was before; resuming tries again."""
        while True:
            try:
                return act()
            except NotFinite as fault:
                self._hold(fault)
            self._answer_requests()

    def _hold(self, fault: NotFinite) -> None:
        if not self._runtime.abandon_probe():
            self._rebuild()
        self._inbox.hold(str(fault), self.steps_done)

    def _step(self, writer: JournalWriter) -> None:
        run = self._preset.run
        with self._watch.during("steps") as lap:
            examples, upcoming = (
                batch(self._task.train, step, run.batch_size, run.seed)
                for step in (self.steps_done, self.steps_done + 1)
            )
            result = self._method.step(self._runtime, self.steps_done, examples, upcoming)
        record = self._method.record(result, run.seed)
        record |= {"drew": self._drew, "tokens": result.tokens, "seconds": round(lap.seconds, 6)}
        kept = self._runtime.update_kept() if self.steps_done % self._preset.method.interval == 0 else None
        if kept:
            record |= {"update_kept": kept.kept, "update_cosine": kept.cosine}
        self._disk_wait.write(self._run.journal_file.name, self.steps_done, lambda: writer.append(record))
        self._signal.add(**record)
        self.steps_done += 1
        self._emit(
            Step(
                step=result.step,
                loss=result.loss,
                loss_plus=result.loss_plus,
                loss_minus=result.loss_minus,
                projected_grad=result.projected_grad,
                lr=result.lr,
                tokens=result.tokens,
                seconds=lap.seconds,
                tokens_per_s=result.tokens / lap.seconds,
                update_kept=kept.kept if kept else None,
                update_cosine=kept.cosine if kept else None,
            )
        )
        if self._adopt(self.steps_done):  # a change on record, of which the steps after it were lost
            self._emit(Changed(step=self.steps_done, **asdict(self._steering.at(self.steps_done))))
        if self.steps_done % WINDOW == 0:
            self._warn()

    def _warn(self) -> None:
        """Say so, once, when the run needs a hand."""
        figures = self._signal.figures()
        if figures is not None and figures.verdict.kind != self._warned:
            self._warned = figures.verdict.kind
            if figures.verdict.wrong:
                text = f"step {self.steps_done}: {figures.verdict.text}"
                self._emit(Log(level="warning", text=text))

    def _answer_requests(self) -> None:
        while (request := self._next_request()) is not None:
            if isinstance(request, Save):
                self.save()
            elif isinstance(request, Change):
                self._change(request)
            elif isinstance(request, Try):
                self._emit(self._trying.answer(request, self.steps_done))
            else:
                try:
                    self._evaluate()
                except NotFinite as fault:
                    self._hold(fault)

    def _change(self, change: Change) -> None:
        """From the next step on, and for good: it is on record before it counts."""
        done = self.steps_done
        settings = self._disk_wait.write(self._run.changes_file.name, done, lambda: self._steering.change(done, change))
        self._adopt(done)
        self._emit(Changed(step=done, **asdict(settings)))
        if done == self._preset.run.steps:
            self._emit(Log(level="warning", text="no step is left to take these settings; a fork from here has them"))
        self._do_what_is_due()

    def _next_request(self) -> Request | None:
        if not self._inbox.paused:
            return self._inbox.next_request(self.steps_done)
        with suppress(OSError):  # on a disk that is full it stays unsaid
            self._run.info.begin_pause()
        began = self._watch.seconds()
        try:
            with self._watch.during("paused"):
                return self._inbox.next_request(self.steps_done)
        finally:
            self._watch.save()
            with suppress(OSError):
                self._run.info.end_pause(self.steps_done, self._watch.seconds() - began)

    def _evaluate(self) -> None:
        self._inbox.enter("evaluating", self.steps_done)
        if self._evaluated_at == self.steps_done:  # of this very state, so the same would come of it
            self._emit(Eval(**self._evaluations[-1], seconds=0.0))
            return
        examples = self._task.validation
        with self._watch.during("evaluations") as lap:
            metrics = evaluate(self._runtime, self._task.objective, examples, self._inbox.check_stop)
            refuse_not_finite(metrics, self.steps_done, self._preset.method.lr)
        self._watch.save()
        self.metrics = metrics
        self._evaluated_at = self.steps_done
        event = Eval(
            step=self.steps_done,
            split="validation",
            metrics=self.metrics,
            examples=len(examples),
            seconds=lap.seconds,
        )
        record = {"step": event.step, "split": event.split, "metrics": event.metrics, "examples": event.examples}
        written = self._run.evaluations_file.name
        self._disk_wait.write(written, self.steps_done, lambda: self._run.add_evaluation(record))
        self._evaluations.append(record)
        self._emit(event)
        if self._preset.run.checkpoint_best and best_evaluation(self._evaluations) is record:
            self.save()

    def _restore_metrics(self) -> None:
        self._evaluations = self._run.evaluations()
        if self._evaluations:
            self.metrics = self._evaluations[-1]["metrics"]
            self._evaluated_at = self._evaluations[-1]["step"]
