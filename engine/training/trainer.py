"""The loop: steps, evaluations and checkpoints in order, requests in between, everything recorded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from msgspec import structs

from engine.clients.inbox import Inbox, Request, Stopped
from engine.control.clip import History
from engine.control.ratchet import return_before
from engine.errors import NotFinite
from engine.preflight.open import Opened
from engine.preset.schema import Preset
from engine.protocol.commands import Change, Save, Try
from engine.protocol.events import Checkpoint, Event, Log, Returned, Step
from engine.runs import checkpoints
from engine.runs.directory import RunDir
from engine.runs.journal import JournalWriter
from engine.runs.lineage import returns_of
from engine.runs.signal import WINDOW, Signal, entry_variance
from engine.tasks.batches import Batches
from engine.training.disk_wait import DiskWait
from engine.training.evaluation import Evaluations, is_due
from engine.training.in_force import InForce
from engine.training.noise import Noise, measure_noise
from engine.training.restore import Restorer
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
        self._run, self._opened = run, opened
        self._runtime, self._task = opened.runtime, opened.task
        self._inbox, self._emit, self._watch, self._disk_wait = inbox, emit, watch, disk_wait
        self._restorer = Restorer(run, opened.runtime, emit)
        self._batches = Batches.of(opened.task.train, wanted)
        self._now = InForce(run, wanted, opened.task.objective)
        self._history = History()
        self._trying = Trying(opened.runtime, opened.task, opened.encoder, opened.vocabulary)
        self._drew = _drew(opened)
        self._saved_at = -1
        self._signal = Signal(dtype=opened.dtype, variance=entry_variance(wanted.method))
        self._warned = ""  # the kind of the verdict that was last warned of
        self.steps_done = 0
        self.early = ""  # why it ended before its last step
        self._evaluations = Evaluations(run, opened, inbox, emit, watch, disk_wait)

    @property
    def metrics(self) -> dict[str, float]:
        """Those of the newest evaluation."""
        return self._evaluations.metrics

    def restore(self) -> str:
        """Rebuild the state from the newest checkpoint and the journal; returns a line for the log."""
        steps = list(self._run.journal())
        for step in steps:
            self._signal.add(step)
        self.steps_done, self._now.returns = len(steps), returns_of(steps)
        self._now.adopt(self.steps_done)
        self._evaluations.restore()
        best, at_base = self._best_state(), True
        if best is not None and best < self.steps_done and not self._restorer.has_checkpoint(best):
            self._go_to(best, at_base=True)
            self._write_checkpoint(best)
            at_base = False
        self._go_to(self.steps_done, at_base=at_base)
        elsewhere = {step.drew or self._drew for step in steps} - {self._drew}
        if elsewhere:
            return f"replayed {len(steps)} steps drawn on {', '.join(elsewhere)}: not exact on {self._drew}"
        return f"rebuilt the state after {len(steps)} steps from the journal"

    def measure_noise(self) -> Noise | None:
        """The noise of a loss here and now, on the batch that comes next. Moves nothing."""
        examples = self._batches.at(self.steps_done)
        method, dtype = self._now.preset.method, self._opened.dtype
        found = measure_noise(
            self._runtime, self._task.objective, examples, dtype=dtype, queries=method.queries, sides=method.sides
        )
        self._signal.noise = found.nats if found else None
        return found

    def _go_to(self, done: int, *, at_base: bool) -> None:
        """Bring the weights, and what is known of the steps that led there, to the state after so many steps."""
        found = self._restorer.go_to(done, self._now.optimizer, at_base=at_base)
        if found.checkpoint == self.steps_done:
            self._saved_at = self.steps_done
        self._history = History(map(self._now.optimizer.gradients_of, found.steps))

    def _best_state(self) -> int | None:
        """After how many steps the state was that the ratchet would return to; None without one."""
        return self._evaluations.least(self.steps_done) if self._now.preset.method.ratchet else None

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
            while self.steps_done < self._now.preset.run.steps:
                if early := self._evaluations.without_patience(self.steps_done, self._now.preset):
                    self.early = early
                    self._emit(Log(level="info", text=early))
                    break
                self._answer_requests()
                self._until_finite(lambda: self._step(writer))
                self._do_what_is_due()
            if self._evaluations.at != self.steps_done:
                self._until_finite(self._evaluate)
            if text := self._evaluations.left_behind(self._now.preset):
                self._emit(Log(level="warning", text=text))
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
        run, done = self._now.preset.run, self.steps_done
        if self._evaluations.at != done and is_due(run, done):
            self._until_finite(self._evaluate)
        if self._evaluations.at == done and self._best_state() == done:
            self.save()  # to be there when a worse one comes
        if done and run.checkpoint_every and done % run.checkpoint_every == 0:
            self.save()

    def save(self) -> None:
        """Write a checkpoint of the state as it is, unless there is one of this very state; prune old ones."""
        self._inbox.enter("checkpointing", self.steps_done)  # which also answers one who asks for it again
        if self._saved_at == self.steps_done:
            return
        with self._watch.during("checkpoints") as lap:
            path = self._write_checkpoint(self.steps_done)
        also = self._evaluations.best(), self._best_state()
        checkpoints.prune(self._run, self._now.preset.run.keep_checkpoints, also)
        self._watch.save()
        self._saved_at = self.steps_done
        self._emit(Checkpoint(step=self.steps_done, path=str(path), seconds=lap.seconds))

    def _write_checkpoint(self, done: int) -> Path:
        return self._disk_wait.write("the checkpoint", done, lambda: checkpoints.save(self._run, done, self._runtime))

    def _until_finite(self, act: Callable[[], None]) -> None:
        """Do it. Where its numbers are not finite, hold the run as it was before; resuming tries again."""
        while True:
            try:
                return act()
            except NotFinite as fault:
                self._hold(fault)
            self._answer_requests()

    def _hold(self, fault: NotFinite) -> None:
        moved, at_base = self._now.returned_to is not None, not self._runtime.abandon_probe()
        if moved or at_base:
            self._now.returned_to = None  # until the step is tried again
            self._now.adopt(self.steps_done)
            self._go_to(self.steps_done, at_base=at_base)
        self._inbox.hold(str(fault), self.steps_done)

    def _step(self, writer: JournalWriter) -> None:
        if self._now.preset.method.ratchet:
            self._return()
        bound = self._history.bound(self._now.preset.method.clip)
        with self._watch.during("steps") as lap:
            examples, upcoming = map(self._batches.at, (self.steps_done, self.steps_done + 1))
            taken = self._now.optimizer.step(
                self._runtime, self.steps_done, examples, upcoming, bound=bound, returned_to=self._now.returned_to
            )
        seconds = round(lap.seconds, 6)
        kept = self._runtime.update_kept() if self._now.optimizer.settles(taken) else None
        taken = structs.replace(
            taken,
            seed=self._now.preset.run.seed,
            drew=self._drew,
            seconds=seconds,
            update_kept=kept.kept if kept else None,
            update_cosine=kept.cosine if kept else None,
        )
        self._disk_wait.write(self._run.journal_file.name, self.steps_done, lambda: writer.append(taken))
        self._signal.add(taken)
        self._history.add(self._now.optimizer.gradients_of(taken))
        self._tell_return(taken)
        self.steps_done += 1
        self._emit(structs.replace(taken, tokens_per_s=taken.tokens / lap.seconds))
        if self._now.adopt(self.steps_done):  # a change on record, of which the steps after it were lost
            self._emit(self._now.changed)
        if self.steps_done % WINDOW == 0:
            self._warn()

    def _return(self) -> None:
        """Go back to the best state, if the run has just become worse. It counts once the next step is on record."""
        back = return_before(self._evaluations.taken, self.steps_done)
        if back is not None:
            with self._watch.during("checkpoints"):
                self._go_to(back, at_base=False)
            self._now.returned_to = back
            self._now.adopt(self.steps_done)

    def _tell_return(self, taken: Step) -> None:
        if taken.returned_to is None:
            return
        self._now.returns[taken.step], self._now.returned_to = taken.returned_to, None
        rate = "the learning rate that was set" if self._now.rate_is_set_at(taken.step) else "half the learning rate"
        text = (
            f"the validation loss after {taken.step} steps is worse than after {taken.returned_to}: "
            f"back to the state there, and on with {rate}, {taken.lr:g}"
        )
        self._emit(Log(level="info", text=text))
        self._emit(Returned(step=taken.step, to=taken.returned_to, lr=taken.lr))

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
        """From the next step on, and for good: it is on record before it counts. What makes no sense is refused."""
        done = self.steps_done
        if refusal := self._now.refusal(change):
            self._emit(Log(level="warning", text=refusal))
            return
        changed = self._disk_wait.write(self._run.changes_file.name, done, lambda: self._now.change(done, change))
        self._now.adopt(done)
        self._emit(changed)
        if done == self._now.preset.run.steps:
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
        done, run = self.steps_done, self._now.preset.run
        new = self._evaluations.take(done, self._now.preset)
        if new and done and run.checkpoint_best and self._evaluations.best() == done:
            self.save()


def _drew(opened: Opened) -> str:
    """What the journal says of who draws the directions: torch's generators draw otherwise on another model of GPU."""
    if opened.drawn == "philox":
        return opened.drawn
    return "cpu" if opened.device.startswith("cpu") else opened.device.partition(" ")[2].strip("()")
