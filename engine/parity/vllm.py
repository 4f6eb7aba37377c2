"""Replay of recorded trajectories on vLLM: in slots where directions fit them, else in place."""

from __future__ import annotations

from pathlib import Path

from engine.directions.official import APPLIED
from engine.directions.space import Space
from engine.environment import prepare_device
from engine.errors import UserError
from engine.estimators.probing import Probing
from engine.models.facts import ModelFacts, read_model
from engine.parity.recording import RecordedMethod, Trajectory, model_folder, scored
from engine.parity.replay import InPlace, Mover, official_run
from engine.preflight.choose import choose_for
from engine.runtimes.base import Needs
from engine.runtimes.vllm.runtime import VllmRuntime
from engine.tasks.example import Example
from engine.tasks.objective import Scores


class _InSlots:
    """Goes the way that runs go: slots, packed passes, folds."""

    def __init__(self, runtime: VllmRuntime, method: RecordedMethod) -> None:
        self._runtime, self._method = runtime, method

    def probe(self, step: int, examples: list[Example]) -> tuple[Scores, Scores]:
        assert self._method.interval
        if step % self._method.interval == 0:
            self._runtime.redraw(step)
        (probe,) = self._runtime.probe(step, Probing(), self._method.eps, examples)
        return probe.plus, probe.minus

    def update(self, step: int, gradient: float) -> None:
        gradients = [0.0, 0.0]
        gradients[APPLIED] = 2 * gradient  # of which the mean is taken
        self._runtime.update(step, gradients, self._method.lr)


def open_vllm(path: Path, trajectory: Trajectory, device: str) -> Mover:
    """Raises `UserError` if vLLM cannot take the model or lacks a recorded parameter."""
    facts = read_model(model_folder(path, trajectory), trust_remote_code=False)
    choose_for(facts, "vllm", "vllm", "", device)
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
    runtime = VllmRuntime(
        facts,
        dtype=trajectory.dtype,
        device=device,
        space=Space(rank=method.rank or 1),
        seed=0,
        fold="nearest",
        needs=needs,
        memory_needed=2 * facts.parameters * 4,
    )
    runtime.follow(official_run(trajectory))
    return _InSlots(runtime, method) if _fits_slots(trajectory, facts) else InPlace(method, runtime)


def _fits_slots(trajectory: Trajectory, facts: ModelFacts) -> bool:
    """Whether all that moves, and nothing else, has slots."""
    method = trajectory.method
    moving = {(name, *shape) for name, shape in trajectory.parameters}
    slots = {(matrix.name, matrix.rows, matrix.cols) for matrix in facts.matrices}
    return method.family == "lozo" and not method.weight_decay and moving == slots
