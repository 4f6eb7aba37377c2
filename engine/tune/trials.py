"""Short forks of one loaded model: each begins at the same weights, bit for bit, with the same batches and directions.

A trial that goes on later is rebuilt from the scalars of its steps, as a run is from its journal: nothing is scored
again. Its steps are those of a run: clipped by the history of the steps before, where the method clips. What is not as
in a run is the rate, which stands still (`held`).
"""

from __future__ import annotations

import math
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.control.clip import History
from engine.errors import NotFinite, UserError
from engine.optimizer import Optimizer
from engine.preset.method import Method
from engine.preset.schema import Preset
from engine.protocol.events import Step
from engine.runtimes.base import Runtime
from engine.tasks import objective
from engine.tasks.batches import Batches
from engine.tasks.example import Example
from engine.tasks.load import Task

WINDOW = 8
"""Steps whose mean is the training loss of a trial."""

_PLAIN = 2.0  # standard errors
_GROWN, _BY = 1.5, 0.1  # times, and nats: a training loss that has left where it began


def held(method: Method, lr: float, eps: float) -> Method:
    """A method as a trial runs it: with this rate at every step, the height of a schedule, and without returns.

    A schedule is of a whole run, and would end a trial of a few steps elsewhere than a run is at that step; a ratchet
    takes decisions by evaluations, of which a trial has none on its way.
    """
    changes = {"lr": lr, "eps": eps, "schedule": "constant", "warm_up": 0.0, "ratchet": False}
    return method.model_copy(update=changes)


def not_as_in_a_run(method: Method) -> str:
    """What trials of a method leave out, in a line; nothing where they are as a run."""
    schedule = f"schedule = {method.schedule!r}" if method.schedule != "constant" else ""
    warm_up = f"warm_up = {method.warm_up:g}" if method.warm_up else ""
    left_out = [key for key in (schedule, warm_up, "ratchet" if method.ratchet else "") if key]
    if not left_out:
        return ""
    return f"trials hold the learning rate still, at the height of the schedule: without {', '.join(left_out)}"


class Base:
    """The weights as the model's files hold them, kept in a file."""

    def __init__(self, runtime: Runtime, file: Path) -> None:
        self._runtime, self._file = runtime, file
        runtime.save_weights(file)

    def restore(self) -> None:
        """Every matrix in scope, and the update rule, as it was before the first step."""
        self._runtime.load_weights(self._file, 0, 0)


@contextmanager
def kept_base(runtime: Runtime, folder: Path) -> Iterator[Base]:
    """Within it, there is a way back to the weights as they are now. Raises `UserError` if the disk has no room."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            base = Base(runtime, folder / "base.safetensors")
        except OSError as error:
            raise UserError(f"{folder}: the weights cannot be kept there ({error.strerror}); make room") from None
        yield base
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Trial:
    """One setting of rate and eps. Losses are nats.

    Attributes: steps, taken so far; diverged, why it is given up, or nothing; metrics, of the validation examples at
    its end, and losses, that of each of them; seconds, of its steps.
    """

    def __init__(self, number: int, method: Method) -> None:
        self.number, self.method = number, method
        self.steps: list[Step] = []
        self.diverged = ""
        self.metrics: dict[str, float] = {}
        self.losses: list[float] = []
        self.seconds = 0.0

    @property
    def loss(self) -> float | None:
        """Training loss, the mean of the last few steps."""
        return statistics.fmean(step.loss for step in self.steps[-WINDOW:]) if self.steps else None

    @property
    def validation(self) -> float:
        """Infinite for one that was given up, or has not been evaluated."""
        return math.inf if self.diverged else self.metrics.get("loss", math.inf)

    @property
    def merit(self) -> float:
        """What trials are ranked by, lower is better: the mean of validation and training loss."""
        return (self.validation + self.loss) / 2 if self.loss is not None else self.validation

    def worse_than(self, other: Trial) -> bool:
        """Whether that is plain: by more than twice the standard error of the difference, example by example."""
        if self.diverged or other.diverged:
            return bool(self.diverged)
        apart = [ours - theirs for ours, theirs in zip(self.losses, other.losses, strict=True)]
        error = statistics.stdev(apart) / math.sqrt(len(apart)) if len(apart) > 1 else 0.0
        return statistics.fmean(apart) > _PLAIN * error

    @property
    def tokens(self) -> int:
        """Scored in its steps."""
        return sum(step.tokens for step in self.steps)


class Course:
    """What all trials have in common."""

    def __init__(self, runtime: Runtime, task: Task, wanted: Preset, base: Base, examples: Sequence[Example]) -> None:
        """`examples`: of the validation split, on which all are judged."""
        self._runtime, self._task, self._run, self._base, self._examples = runtime, task, wanted.run, base, examples
        self._batches = Batches.of(task.train, wanted)

    def advance(self, trial: Trial, steps: int, told: Callable[[int], None]) -> None:
        """Take a trial to so many steps in all, and evaluate it there; it is given up as soon as it diverges.

        `told` hears how many steps are done.
        """
        self._base.restore()
        optimizer = Optimizer(trial.method, self._run.steps, self._task.objective, self._run.seed)
        for taken in trial.steps:
            optimizer.replay(self._runtime, taken)
        history = History(map(optimizer.gradients_of, trial.steps))
        try:
            for step in range(len(trial.steps), steps):
                now, later = map(self._batches.at, (step, step + 1))
                began = time.perf_counter()
                bound = history.bound(trial.method.clip)
                trial.steps.append(optimizer.step(self._runtime, step, now, later, bound=bound))
                trial.seconds += time.perf_counter() - began
                history.add(optimizer.gradients_of(trial.steps[-1]))
                told(step + 1)
                if _has_grown(trial.steps):
                    trial.diverged = f"its training loss has grown to {trial.loss:.4g} by step {step + 1}"
                    return
            metrics, losses = self.evaluate()
            if not math.isfinite(metrics["loss"]):
                raise NotFinite(f"its validation loss is not a finite number after {steps} steps")
        except NotFinite as fault:
            self._runtime.abandon_probe()
            trial.diverged = str(fault)
        else:
            trial.metrics, trial.losses = metrics, losses

    def evaluate(self) -> tuple[dict[str, float], list[float]]:
        """The metrics of the weights as they are, and the loss of each example."""
        kind, scores = self._task.objective, self._runtime.score(self._examples)
        losses = [objective.loss(kind, [example], [row]) for example, row in zip(self._examples, scores, strict=True)]
        return objective.metrics(kind, self._examples, scores), losses


def _has_grown(steps: Sequence[Step]) -> bool:
    if len(steps) < 2 * WINDOW:
        return False
    first, last = (statistics.fmean(step.loss for step in some) for some in (steps[:WINDOW], steps[-WINDOW:]))
    return last > _GROWN * first + _BY
