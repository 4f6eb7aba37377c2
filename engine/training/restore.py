"""Back to a state that the journal leads to: when a run is taken up, and when the ratchet returns to its best."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from engine.errors import RunFailed
from engine.optimizer import Optimizer
from engine.protocol.events import Event, Log, Phase, Step
from engine.runs import checkpoints
from engine.runs.checkpoints import Whole
from engine.runs.directory import RunDir
from engine.runs.lineage import Lineage, returns_of
from engine.runtimes.base import Runtime


class Restored(NamedTuple):
    """What a state was rebuilt from: all the steps that led to it, and the steps done at the checkpoint, if any."""

    steps: list[Step]
    checkpoint: int | None


class Restorer:
    """Brings a runtime to the state after any number of steps of a run, from its checkpoints and its journal."""

    def __init__(self, run: RunDir, runtime: Runtime, emit: Callable[[Event], None]) -> None:
        self._run, self._runtime, self._emit = run, runtime, emit
        self._told: set[str] = set()  # names of damaged checkpoints

    def go_to(self, done: int, optimizer: Optimizer, *, at_base: bool) -> Restored:
        """Set the weights to the state after `done` steps.

        `at_base`: whether the weights are those of the model's files, so that the journal alone will do. Raises
        `RunFailed` where they are not, and no checkpoint is of use.
        """
        steps = list(self._run.journal())
        way = Lineage(returns_of(steps), done)
        found = self._newest(way)
        if found is None and not at_base:
            raise RunFailed(
                f"no checkpoint leads to the state after {done} steps, which the run is to return to; "
                "`zotui resume` rebuilds it from the journal"
            )
        first = found.replay_from if found else 0
        if found is not None:
            self._emit(Phase(name="loading the checkpoint", detail=f"of step {found.step}"))
            found.load(self._runtime, way.began(first, optimizer.method.interval))
        left = list(way.after(first))
        for count, number in enumerate(left, 1):
            optimizer.replay(self._runtime, steps[number])
            if count % 50 == 1 or count == len(left):
                detail = f"step {number}"
                self._emit(Phase(name="replaying the journal", progress=count / len(left), detail=detail))
        return Restored([steps[number] for number in way], found.step if found else None)

    def has_checkpoint(self, done: int) -> bool:
        """Whether there is a checkpoint of the very state after `done` steps."""
        return checkpoints.is_there(self._run, Lineage(returns_of(self._run.journal()), done))

    def _newest(self, way: Lineage) -> Whole | None:
        found, damaged = checkpoints.newest(self._run, way)
        for name in damaged:
            if name not in self._told:
                self._told.add(name)
                self._emit(Log(level="warning", text=f"checkpoints/{name} is damaged: passed over, it can be deleted"))
        return found
