"""The loop: steps, evaluations and checkpoints in order, requests in between, everything recorded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from msgspec import structs

from engine.clients.inbox import Inbox, Request, Stopped
from engine.errors import NotFinite
from engine.optimizer import Optimizer
from engine.preflight.open import Opened
from engine.preset.schema import Preset
from engine.protocol.commands import Change, Save, Try
from engine.protocol.events import Changed, Checkpoint, Eval, Event, Log, Phase, Step
from engine.runs import checkpoints
from engine.runs.best import best_evaluation
from engine.runs.changes import Changes, changed_preset
from engine.runs.directory import RunDir
from engine.runs.journal import JournalWriter
from engine.runs.signal import WINDOW, Signal, entry_variance
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
        self._changes = Changes(run, wanted)
        self._in_force: Changed | None = None
        self._trying = Trying(opened.runtime, opened.task, opened.encoder, opened.vocabulary)
        self._adopt(0)
        self._drew = _drew(opened)
        self._evaluated_at = -1
        self._saved_at = -1
        self._signal = Signal(dtype=opened.dtype, variance=entry_variance(wanted.method))
        self._warned = ""  # the kind of the verdict that was last warned of
        self.steps_done = 0
        self.metrics: dict[str, float] = {}
        self._evaluations: list[Eval] = []

    def _adopt(self, step: int) -> bool:
        """Take on what is in force at a step; whether it is another change than before."""
        changed = self._changes.at(step)
        if changed == self._in_force:
            return False
        self._in_force = changed
        self._preset = changed_preset(self._wanted, changed)
        method, run = self._preset.method, self._preset.run
        self._optimizer = Optimizer(method, run.steps, self._task.objective, run.seed)
        return True

    def restore(self) -> str:
        """Rebuild the state from the newest checkpoint and the journal; returns a line for the log."""
        steps = self._rebuild()
        for step in steps:
            self._signal.add(step)
        self.steps_done = len(steps)
        self._adopt(self.steps_done)
        self._restore_metrics()
        elsewhere = {step.drew or self._drew for step in steps} - {self._drew}
        if elsewhere:
            return f"replayed {len(steps)} steps drawn on {', '.join(elsewhere)}: not exact on {self._drew}"
        return f"rebuilt the state after {len(steps)} steps from the journal"

    def measure_noise(self) -> Noise | None:
        """The noise of a loss here and now, on the batch that comes next. Moves nothing."""
        run = self._preset.run
        examples = batch(self._task.train, self.steps_done, run.batch_size, run.seed)
        queries, dtype = self._preset.method.queries, self._opened.dtype
        found = measure_noise(self._runtime, self._task.objective, examples, dtype=dtype, queries=queries)
        self._signal.noise = found.nats if found else None
        return found

    def _rebuild(self) -> list[Step]:
        """Bring the weights to where the journal ends; returns its steps."""
        steps = list(self._run.journal())
        found, damaged = checkpoints.newest(self._run, len(steps))
        for name in damaged:
            self._emit(Log(level="warning", text=f"checkpoints/{name} is damaged: passed over, it can be deleted"))
        first = 0
        if found is not None:
            first = found.replay_from
            before = max(0, first - 1)
            self._runtime.load_weights(found.weights, first, before - before % self._preset.method.interval)
            if found.step == len(steps):
                self._saved_at = found.step
        for taken in steps[first:]:
            self._optimizer.replay(self._runtime, taken)
            done = (taken.step + 1 - first) / max(1, len(steps) - first)
            if taken.step % 50 == 0 or done == 1:
                self._emit(Phase(name="replaying the journal", progress=done, detail=f"step {taken.step}"))
        return steps

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
        checkpoints.prune(self._run, self._preset.run.keep_checkpoints, best.step if best else None)
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
            taken = self._optimizer.step(self._runtime, self.steps_done, examples, upcoming)
        seconds = round(lap.seconds, 6)
        kept = self._runtime.update_kept() if self.steps_done % self._preset.method.interval == 0 else None
        taken = structs.replace(
            taken,
            seed=run.seed,
            drew=self._drew,
            seconds=seconds,
            update_kept=kept.kept if kept else None,
            update_cosine=kept.cosine if kept else None,
        )
        self._disk_wait.write(self._run.journal_file.name, self.steps_done, lambda: writer.append(taken))
        self._signal.add(taken)
        self.steps_done += 1
        self._emit(structs.replace(taken, tokens_per_s=taken.tokens / lap.seconds))
        if self._adopt(self.steps_done):  # a change on record, of which the steps after it were lost
            self._emit(self._changes.at(self.steps_done))
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
        changed = self._disk_wait.write(self._run.changes_file.name, done, lambda: self._changes.change(done, change))
        self._adopt(done)
        self._emit(changed)
        if done == self._preset.run.steps:
            self._emit(Log(level="warning", text="no step is left that this would change; a fork from here has it"))
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
            self._emit(structs.replace(self._evaluations[-1], seconds=0.0))
            return
        examples = self._task.validation
        with self._watch.during("evaluations") as lap:
            metrics = evaluate(self._runtime, self._task.objective, examples, self._inbox.check_stop)
            refuse_not_finite(metrics, self.steps_done, self._preset.method.lr)
        self._watch.save()
        self.metrics = metrics
        self._evaluated_at = self.steps_done
        taken = Eval(step=self.steps_done, metrics=metrics, examples=len(examples), seconds=lap.seconds)
        written = self._run.evaluations_file.name
        self._disk_wait.write(written, self.steps_done, lambda: self._run.add_evaluation(taken))
        self._evaluations.append(taken)
        self._emit(taken)
        if self._preset.run.checkpoint_best and best_evaluation(self._evaluations) is taken:
            self.save()

    def _restore_metrics(self) -> None:
        self._evaluations = self._run.evaluations()
        if self._evaluations:
            self.metrics = self._evaluations[-1].metrics
            self._evaluated_at = self._evaluations[-1].step


def _drew(opened: Opened) -> str:
    """What the journal says of who draws the directions: torch's generators draw otherwise on another model of GPU."""
    if opened.drawn == "philox":
        return opened.drawn
    return "cpu" if opened.device.startswith("cpu") else opened.device.partition(" ")[2].strip("()")
