"""The loop: steps, evaluations and checkpoints in order, requests in between, everything recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from engine import checkpoint, objective, preset
from engine.control import Control
from engine.journal import JournalWriter
from engine.lozo import Lozo
from engine.messages import Checkpoint, Eval, Event, Phase, Save, Step
from engine.opening import Opened
from engine.rundir import RunDir
from engine.task import Example, batch

_EVALUATION_SLICE = 64  # examples scored between two looks at the requests


class Trainer:
    """Runs one preset in one run directory, from the first step that is not in the journal."""

    def __init__(
        self, run: RunDir, wanted: preset.Preset, opened: Opened, control: Control, emit: Callable[[Event], None]
    ) -> None:
        self._run, self._preset, self._opened = run, wanted, opened
        self._runtime, self._task = opened.runtime, opened.task
        self._control, self._emit = control, emit
        self._method = Lozo(wanted.method, wanted.run.steps, opened.task.objective)
        self._drew = opened.device.partition(" ")[0].partition(":")[0]
        self._evaluated_at = -1
        self._saved_at = -1
        self.steps_done = 0
        self.metrics: dict[str, float] = {}

    def restore(self) -> str:
        """Rebuild the state from the newest checkpoint and the journal; returns a line for the log."""
        records = list(self._run.journal())
        found = checkpoint.latest(self._run)
        first = 0
        if found and found[1] <= len(records):
            path, first = found
            self._runtime.load_weights(path)
            if first % self._preset.method.interval:
                self._runtime.redraw(first - first % self._preset.method.interval)
        for record in records[first:]:
            self._method.replay(self._runtime, record)
            done = (record["step"] + 1 - first) / max(1, len(records) - first)
            if record["step"] % 50 == 0 or done == 1:
                self._emit(Phase(name="replaying the journal", progress=done, detail=f"step {record['step']}"))
        self.steps_done = len(records)
        self._restore_metrics()
        elsewhere = {record.get("drew", self._drew) for record in records} - {self._drew}
        if elsewhere:
            return f"replayed {len(records)} steps drawn on {', '.join(elsewhere)}: not exact on {self._drew}"
        return f"rebuilt the state after {len(records)} steps from the journal"

    def train(self) -> None:
        """Steps to the end. Raises `Stopped`, with the state saved, when asked to stop."""
        writer = JournalWriter(self._run.journal_file)
        run = self._preset.run
        try:
            self._control.started(self.steps_done)
            self._answer_requests()
            if self.steps_done == 0:
                self._evaluate()
            while self.steps_done < run.steps:
                self._answer_requests()
                self._step(writer)
                if run.eval_every and self.steps_done % run.eval_every == 0:
                    self._evaluate()
                if run.checkpoint_every and self.steps_done % run.checkpoint_every == 0:
                    self.save()
            if self._evaluated_at != self.steps_done:
                self._evaluate()
        finally:
            writer.close()

    def save(self) -> None:
        """Write a checkpoint of the state as it is, unless the last one is of this very state."""
        if self._saved_at == self.steps_done:
            return
        self._control.enter("checkpointing", self.steps_done)
        started = time.perf_counter()
        path = checkpoint.save(self._run, self._runtime, self.steps_done)
        self._saved_at = self.steps_done
        self._emit(Checkpoint(step=self.steps_done, path=str(path), seconds=time.perf_counter() - started))

    def _step(self, writer: JournalWriter) -> None:
        run = self._preset.run
        started = time.perf_counter()
        examples = batch(self._task.train, self.steps_done, run.batch_size, run.seed)
        result = self._method.step(self._runtime, self.steps_done, examples)
        seconds = time.perf_counter() - started
        record = self._method.record(result, run.seed)
        writer.append(record | {"drew": self._drew, "tokens": result.tokens, "seconds": round(seconds, 6)})
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
                seconds=seconds,
                tokens_per_s=result.tokens / seconds,
            )
        )

    def _answer_requests(self) -> None:
        while (request := self._control.next_request(self.steps_done)) is not None:
            if request is Save:
                self.save()
            else:
                self._evaluate()

    def _evaluate(self) -> None:
        self._control.enter("evaluating", self.steps_done)
        started = time.perf_counter()
        examples = self._task.validation
        scores: objective.Scores = []
        for part in _slices(examples):
            self._control.check_stop()
            scores += self._runtime.score(part)
        self.metrics = objective.metrics(self._task.objective, examples, scores)
        self._evaluated_at = self.steps_done
        event = Eval(
            step=self.steps_done,
            split="validation",
            metrics=self.metrics,
            examples=len(examples),
            seconds=time.perf_counter() - started,
        )
        self._run.add_evaluation(
            {"step": event.step, "split": event.split, "metrics": event.metrics, "examples": event.examples}
        )
        self._emit(event)

    def _restore_metrics(self) -> None:
        for evaluation in self._run.evaluations():
            self.metrics = evaluation["metrics"]
            self._evaluated_at = evaluation["step"]


def _slices(examples: list[Example]) -> Iterator[list[Example]]:
    for start in range(0, len(examples), _EVALUATION_SLICE):
        yield examples[start : start + _EVALUATION_SLICE]
