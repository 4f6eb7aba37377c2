"""Which steps led to a state, and which checkpoints are on the way: runs in symbols, on both kinds of runtime."""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RunFailed, UserError
from engine.optimizer import Optimizer
from engine.preset.method import Method
from engine.protocol.events import Step
from engine.runs import checkpoints
from engine.runs.directory import RunDir
from engine.runs.journal import JournalWriter, append
from engine.runs.lineage import Lineage
from engine.training.restore import Restorer


def test_the_steps_of_nested_returns() -> None:
    returns = {30: 20, 50: 40, 60: 10}
    assert Lineage(returns, 60).segments == [range(20), range(30, 40), range(50, 60)]
    assert Lineage(returns, 45).segments == [range(20), range(30, 45)]
    assert Lineage(returns, 61).segments == [range(10), range(60, 61)]
    assert Lineage(returns, 25).segments == [range(25)]
    assert Lineage({10: 0}, 15).segments == [range(10, 15)]
    assert Lineage({}, 0).segments == [] == list(Lineage({}, 0))
    assert list(Lineage(returns, 60).after(35)) == [*range(35, 40), *range(50, 60)]


class Symbols:
    """What a runtime holds, written down: the weights as what was done to them, V as the step that drew it."""

    def __init__(self, folds: bool) -> None:
        self.folds = folds
        self.weights: tuple[Any, ...] = ()
        self.v: int | None = None
        self.learned: tuple[int, ...] = ()
        self.memory: tuple[Any, ...] = ()  # of the update rule
        self.settled: tuple[Any, ...] = ()
        self.since = 0
        if folds:
            self.redraw(0)  # as the check at the start does

    def redraw(self, step: int) -> None:
        if self.folds and self.learned:
            self.weights, self.learned = (*self.weights, ("folded", step, self.v, self.learned)), ()
        if step != self.v:
            self.v = step
            if self.memory:
                self.memory = (*self.memory, f"to {step}")
            self.settled = self.memory
        if self.folds:
            self.since = step

    def replay_probe(self, step: int, *_: Any) -> None:
        if not self.folds:
            self.weights = (*self.weights, ("rounded", step, self.v))

    def update(self, step: int, gradients: Sequence[float], lr: float) -> None:
        self.memory = (*self.memory, step)
        if self.folds:
            self.learned = (*self.learned, step)
        else:
            self.weights = (*self.weights, (step, self.v))
            self.since = step + 1

    def save_learned(self, path: Path) -> bool:
        return False

    def save_weights(self, path: Path) -> None:
        path.write_text(repr((self.weights, self.settled if self.folds else self.memory)))

    def weights_since(self) -> int:
        return self.since

    def load_weights(self, path: Path, step: int, began: int) -> None:
        self.weights, memory = ast.literal_eval(path.read_text())
        self.learned, self.v, self.memory, self.settled = (), None, (), ()
        self.since = step
        if step or self.folds:
            self.v = step if self.folds else began
            self.memory = self.settled = memory

    def seen(self) -> tuple[Any, ...]:
        return self.weights, self.v, self.learned, self.memory


class Simulated:
    """A run by chance, beside which a copy of every state is kept."""

    def __init__(self, folder: Path, chance: random.Random, folds: bool) -> None:
        self.run = RunDir(folder)
        self.folds, self.interval = folds, chance.choice([1, 3, 4, 10])
        self.optimizer = Optimizer(Method(interval=self.interval), 100, "classification")  # type: ignore[call-arg]
        self.runtime: Any = Symbols(folds)
        self.states = [deepcopy(self.runtime)]
        self.chance = chance
        restorer = Restorer(self.run, self.runtime, lambda _: None)
        folder.mkdir()
        writer = JournalWriter(self.run.journal_file)
        best: int | None = None
        for step in range(chance.randint(1, 40)):
            back = None
            if best is None or chance.random() < 0.2:
                best = step
            if best == step or chance.random() < 0.2:
                self.save(step)
            elif folds and self.optimizer.redraws(step, None) and chance.random() < 0.3:
                self.runtime.redraw(step)  # for a probe that came to nothing: it is saved while it is held
                self.save(step)
            if best != step and chance.random() < 0.2:
                back = best
                restorer.go_to(back, self.optimizer, at_base=False)
                assert self.runtime.seen() == self.states[back].seen()
            taken = Step(step=step, projected_grad=1.0, lr=1.0, eps=1.0, returned_to=back)
            # A step does what its replay does.
            self.optimizer.replay(self.runtime, taken)
            writer.append(taken)
            self.states.append(deepcopy(self.runtime))
        writer.close()

    def save(self, step: int) -> None:
        checkpoints.save(self.run, step, self.runtime)

    def rebuilt(self, done: int) -> Any:
        """The state after so many steps by a new engine."""
        runtime: Any = Symbols(self.folds)
        Restorer(self.run, runtime, lambda _: None).go_to(done, self.optimizer, at_base=True)
        return runtime

    def check(self, done: int) -> None:
        found, kept = self.rebuilt(done), deepcopy(self.states[done])
        if self.optimizer.redraws(done, None):  # one that was held there has folded already
            found.redraw(done)
            kept.redraw(done)
        assert found.seen() == kept.seen()


@pytest.mark.parametrize("folds", [True, False], ids=["folds", "moves in place"])
@pytest.mark.parametrize("seed", range(20))
def test_every_state_is_rebuilt_from_whatever_checkpoints_there_are(tmp_path: Path, seed: int, folds: bool) -> None:
    chance = random.Random(seed)
    simulated = Simulated(tmp_path / "run", chance, folds)
    run, count = simulated.run, len(simulated.states)
    for done in chance.sample(range(count), min(count, 12)):  # checkpoints beyond it are there, too
        simulated.check(done)
    lines = run.journal_file.read_bytes().splitlines(keepends=True)
    kept = chance.randrange(count)
    run.journal_file.write_bytes(b"".join(lines[:kept]))  # a power cut: the checkpoints are ahead of it
    simulated.check(kept)
    run.journal_file.write_bytes(b"".join(lines))
    for folder in run.checkpoint_folders():
        if chance.random() < 0.5:
            (folder / "manifest.json").unlink()
    for done in chance.sample(range(count), min(count, 6)):
        simulated.check(done)


def test_without_a_checkpoint_an_engine_at_work_cannot_return(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    append(run.journal_file, Step(step=0, projected_grad=1.0, lr=1.0, eps=1.0))
    optimizer = Optimizer(Method(), 100, "classification")  # type: ignore[call-arg]
    runtime: Any = Symbols(folds=True)
    with pytest.raises(RunFailed, match="`zotui resume` rebuilds it"):
        Restorer(run, runtime, lambda _: None).go_to(1, optimizer, at_base=False)


def test_a_journal_that_returns_to_what_was_not_yet_is_damaged(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    append(run.journal_file, Step(step=0, returned_to=1))
    with pytest.raises(UserError, match="line 1 is not step 0"):
        list(run.journal())
