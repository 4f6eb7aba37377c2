"""Replay of recorded trajectories on vLLM: LoZO in slots where its directions fit them, all else in place."""

from __future__ import annotations

from pathlib import Path

from engine.directions.official import APPLIED
from engine.directions.space import Space
from engine.environment import prepare_device
from engine.errors import UserError
from engine.estimators.probing import Probing
from engine.models.facts import ModelFacts, read_model
from engine.parity.compare import StepTaken, two_sided
from engine.parity.official.lozo import official_run
from engine.parity.recording import RecordedStep, Trajectory, model_folder
from engine.parity.replay import Trainer, in_place
from engine.parity.scoring import loss, scored
from engine.parity.weights import check_shapes
from engine.preflight.choose import choose_for
from engine.runtimes.base import Needs
from engine.runtimes.vllm.runtime import VllmRuntime


class _InSlots:
    """LoZO the way that runs go: slots, packed passes, folds."""

    def __init__(self, runtime: VllmRuntime, trajectory: Trajectory) -> None:
        self._runtime, self._trajectory = runtime, trajectory
        runtime.follow(official_run(trajectory))

    def take(self, step: RecordedStep) -> StepTaken:
        method, objective = self._trajectory.method, self._trajectory.objective
        assert method.interval
        if step.step % method.interval == 0:
            self._runtime.redraw(step.step)
        (probe,) = self._runtime.probe(step.step, Probing(), method.eps, scored(step.examples))
        plus, minus = (loss(objective, step.examples, scores) for scores in (probe.plus, probe.minus))
        gradient = (plus - minus) / (2 * method.eps)
        gradients = [0.0, 0.0]
        gradients[APPLIED] = 2 * gradient  # of which the mean is taken
        self._runtime.update(step.step, gradients, self._trajectory.rate(step))
        return two_sided(plus, minus, gradient)


def open_vllm(path: Path, trajectory: Trajectory, device: str) -> Trainer:
    """Raises `UserError` if vLLM cannot take the model or lacks a recorded parameter."""
    facts = read_model(model_folder(path, trajectory), trust_remote_code=False)
    check_shapes(path, trajectory, facts.path)
    choose_for(facts, "vllm", "vllm", "", device)
    prepare_device(device)
    batches = [scored(step.examples) for step in trajectory.steps]
    examples = [example for batch in batches for example in batch]
    needs = Needs(
        batch=max(map(len, batches)),
        longest=max(example.length for example in examples),
        options=1,
        option_tokens=max(len(option) for example in examples for option in example.options),
    )
    if needs.longest > facts.context:
        raise UserError(f"{path}: a sequence of {needs.longest} tokens; {facts.path} takes {facts.context}")
    slots = fits_slots(trajectory, facts)
    runtime = VllmRuntime(
        facts,
        dtype=trajectory.dtype,
        device=device,
        space=Space(rank=trajectory.method.rank if slots and trajectory.method.rank else 1),
        seed=0,
        fold="nearest",
        needs=needs,
        memory_needed=2 * facts.parameters * 4,
    )
    return _InSlots(runtime, trajectory) if slots else in_place(path, trajectory, runtime)


def fits_slots(trajectory: Trajectory, facts: ModelFacts) -> bool:
    """Whether it is LoZO's, and all that moves, and nothing else, has slots."""
    method = trajectory.method
    moving = {(name, *shape) for name, shape in trajectory.parameters}
    slots = {(matrix.name, matrix.rows, matrix.cols) for matrix in facts.matrices}
    return method.family == "lozo" and not method.weight_decay and moving == slots
