"""Recorded trajectories of the official trainers (`zo-trajectory/1`): what each step scored, and what it found."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from engine.errors import UserError
from engine.models import hub
from engine.tasks.example import Example
from engine.tasks.objective import Objective

FORMAT = "zo-trajectory/1"


class RecordedMethod(msgspec.Struct, frozen=True):
    """How the weights moved."""

    family: Literal["lozo", "mezo"]
    scope: Literal["linear", "all"]
    eps: float
    lr: float
    rank: int | None = None  # lozo only, as is interval
    interval: int | None = None
    weight_decay: float = 0.0


class RecordedExample(msgspec.Struct, frozen=True):
    """One example: a sequence of token ids for every option, whose last `option_lens` tokens are the option."""

    sequences: list[list[int]]
    option_lens: list[int]
    label: int = 0


class RecordedStep(msgspec.Struct, frozen=True):
    """One step, as it was taken."""

    step: int
    seed: int
    examples: list[RecordedExample]
    loss_plus: float
    loss_minus: float
    projected_grad: float


class Trajectory(msgspec.Struct, frozen=True):
    """A recording. `parameters` are (name, shape), in the order in which directions were drawn for them."""

    format: str
    model: str
    objective: Objective
    method: RecordedMethod
    parameters: list[tuple[str, list[int]]]
    steps: list[RecordedStep]
    source: str = ""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"


def read_trajectory(path: Path) -> Trajectory:
    """Read and check a recording. Raises `UserError`, naming the place."""
    try:
        trajectory = msgspec.json.decode(path.read_bytes(), type=Trajectory)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except msgspec.DecodeError as error:  # ValidationError is one
        raise UserError(f"{path}: not a recorded trajectory: {error}") from None
    if trajectory.format != FORMAT:
        raise UserError(f"{path}: format: {trajectory.format!r} is not known; this zotui reads {FORMAT!r}")
    if trajectory.method.family == "lozo" and not (trajectory.method.rank and trajectory.method.interval):
        raise UserError(f"{path}: method: lozo needs a rank and an interval of 1 or more")
    if not (trajectory.steps and trajectory.parameters and trajectory.method.eps > 0):
        raise UserError(f"{path}: needs steps, parameters and a method.eps above 0")
    for index, step in enumerate(trajectory.steps):
        if step.step != index:
            raise UserError(
                f"{path}: steps[{index}]: is step {step.step}; the steps must be all there, in order from 0"
            )
        if not step.examples:
            raise UserError(f"{path}: steps[{index}]: has no examples")
        for number, example in enumerate(step.examples):
            if problem := _problem(example):
                raise UserError(f"{path}: steps[{index}].examples[{number}]: {problem}")
    return trajectory


def model_folder(path: Path, trajectory: Trajectory) -> str:
    """The model of a recording: a relative path is looked up beside the file's folder, else it may be a hub id.

    Raises `UserError` where there is none.
    """
    beside = path.absolute().parent.parent / trajectory.model
    model = hub.find_model(str(beside) if beside.exists() else trajectory.model)
    return hub.download(model, lambda fraction, detail: None)


def scored(step: RecordedStep) -> list[Example]:
    """What is scored in a step: every option's sequence as an example of its own, in order.

    The options of a recorded example need not share their prompt, so each stands alone.
    """
    return [
        Example(tuple(sequence[:-count]), (tuple(sequence[-count:]),), 0)
        for example in step.examples
        for sequence, count in zip(example.sequences, example.option_lens, strict=True)
    ]


def regrouped(step: RecordedStep, scores: list[list[float]]) -> tuple[list[Example], list[list[float]]]:
    """The scores of `scored(step)` by recorded example, with examples that know their options' lengths."""
    each = iter(scores)
    examples = [
        Example((), tuple((0,) * count for count in example.option_lens), example.label) for example in step.examples
    ]
    return examples, [[next(each)[0] for _ in example.option_lens] for example in step.examples]


def _problem(example: RecordedExample) -> str | None:
    if not example.sequences or len(example.sequences) != len(example.option_lens):
        return "needs as many option_lens as sequences"
    if not 0 <= example.label < len(example.sequences):
        return f"label {example.label} is not one of its {len(example.sequences)} options"
    for sequence, count in zip(example.sequences, example.option_lens, strict=True):
        if not 1 <= count < len(sequence):
            return f"an option of {count} tokens in a sequence of {len(sequence)}"
    return None
