"""Replay of recorded trajectories on vLLM: in slots where directions fit them, else in place."""

from __future__ import annotations

from pathlib import Path

from engine.environment import prepare_device
from engine.errors import UserError
from engine.models.facts import ModelFacts, read_model
from engine.parity.recording import RecordedMethod, Trajectory, model_folder, scored
from engine.parity.replay import InPlace, Mover
from engine.preflight.choose import check_architecture
from engine.runtimes.base import Needs
from engine.runtimes.vllm.runtime import VllmRuntime
from engine.tasks.example import Example
from engine.tasks.objective import Scores


class _VllmReplay(VllmRuntime):
    """The vLLM runtime, whose worker draws what was recorded."""

    def in_slots(self, path: Path, method: RecordedMethod) -> Mover:
        """Go the way that runs go: slots, packed passes, folds."""
        self._call("zo_replay_in_slots", str(path))
        return _InSlots(self, method)

    def in_place(self, path: Path, method: RecordedMethod) -> Mover:
        """Move the weights themselves."""
        self._call("zo_replay_in_place", str(path))

        def move(step: int, scale: float) -> None:
            self._call("zo_replay_move", step, scale)

        def update(step: int, coefficient: float, decay: float) -> None:
            self._call("zo_replay_update", step, coefficient, decay)

        return InPlace(method, move, update, self.score)


class _InSlots:
    """Query 0 is what was probed, query 1 what the recorded update applied instead on some steps."""

    def __init__(self, runtime: VllmRuntime, method: RecordedMethod) -> None:
        self._runtime, self._method = runtime, method

    def probe(self, step: int, examples: list[Example]) -> tuple[Scores, Scores]:
        assert self._method.interval
        if step % self._method.interval == 0:
            self._runtime.redraw(step)
        (probe,) = self._runtime.probe(step, 1, self._method.eps, examples)
        return probe.plus, probe.minus

    def update(self, step: int, gradient: float) -> None:
        self._runtime.update(step, [0.0, self._method.lr * gradient])


def open_vllm(path: Path, trajectory: Trajectory, device: str) -> Mover:
    """Raises `UserError` if vLLM cannot take the model or lacks a recorded parameter."""
    facts = read_model(model_folder(path, trajectory), trust_remote_code=False)
    check_architecture(facts)
    prepare_device(device)
    method = trajectory.method
    batches = [scored(step) for step in trajectory.steps]
    examples = [example for batch in batches for example in batch]
    needs = Needs(
        batch=max(map(len, batches)),
        longest=max(example.length for example in examples),
        options=1,
        option_tokens=max(len(option) for example in examples for option in example.options),
    )
    if needs.longest > facts.context:
        raise UserError(f"{path}: a sequence of {needs.longest} tokens; {facts.path} takes {facts.context}")
    runtime = _VllmReplay(
        facts,
        dtype=trajectory.dtype,
        device=device,
        rank=method.rank or 1,
        seed=0,
        fold="nearest",
        needs=needs,
        memory_needed=2 * facts.parameters * 4,
    )
    return (runtime.in_slots if _fits_slots(trajectory, facts) else runtime.in_place)(path, method)


def _fits_slots(trajectory: Trajectory, facts: ModelFacts) -> bool:
    """Whether all that moves, and nothing else, has slots."""
    method = trajectory.method
    moving = {(name, *shape) for name, shape in trajectory.parameters}
    slots = {(matrix.name, matrix.rows, matrix.cols) for matrix in facts.matrices}
    return method.family == "lozo" and not method.weight_decay and moving == slots
