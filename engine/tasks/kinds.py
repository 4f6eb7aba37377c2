"""Which kind of task the keys of a preset make, and which keys each kind has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.errors import UserError
from engine.preset.task import Kind, Task
from engine.text import listed

_FOR: dict[str, tuple[Kind, ...]] = {
    "join": ("classification", "multiple-choice", "generation"),
    "choices": ("multiple-choice",),
    "answers": ("multiple-choice", "generation"),
    "messages": ("text",),
    "shots": ("classification", "multiple-choice", "generation"),
    "calibration": ("classification", "multiple-choice"),
    "domain": ("classification", "multiple-choice"),
    "generate_examples": ("generation",),
    "generate_tokens": ("generation",),
}
"""Keys that mean something to some kinds alone. Older ones are read over elsewhere, as they always were."""


def kind_of(task: Task, brought: Mapping[str, Any]) -> Kind:
    """The kind that a preset asks for, else that of its keys, else that which its name brings.

    Raises `UserError` where the keys say more than one.
    """
    if task.kind:
        lm = task.kind != "classification"
        if task.objective and (task.objective == "lm") != lm:
            raise UserError(
                f"task.objective: {task.objective} is not that of kind {task.kind}; remove it, task.kind says it all"
            )
        return task.kind
    if task.objective == "classification":
        return "classification"
    given: dict[str, Kind] = {
        "verbalizer": "classification",
        "choices": "multiple-choice",
        "target": "generation",
        "messages": "text",
    }
    said = {key: kind for key, kind in given.items() if getattr(task, key)}
    if task.objective == "lm":
        said.pop("verbalizer", None)
    if len(said) > 1:
        keys = [f"task.{key}" for key in sorted(said)]
        raise UserError(f"{' and '.join(keys)} are both set; keep one, or say which by task.kind")
    if said:
        return next(iter(said.values()))
    kind: Kind = brought.get("kind", "classification")
    return "generation" if task.objective == "lm" and kind == "classification" else kind


def check_keys(task: Task, kind: Kind) -> None:
    """Raise `UserError` for a key that is set and means nothing to this kind of task."""
    if task.messages and task.target:
        raise UserError(
            "task.messages and task.target are both set; keep one, they are two ways to say what is learned"
        )
    if kind == "text" and task.template:
        raise UserError("task.template: kind text has no prompt; put it into task.target, or set task.kind=generation")
    if kind in ("classification", "multiple-choice") and (task.end or "none") != "none":
        raise UserError(
            f"task.end: eos is for a target, which the model learns to end; options of a {kind} are compared as they "
            "are; remove the key"
        )
    for key, kinds in _FOR.items():
        if getattr(task, key) is not None and kind not in kinds:
            raise UserError(f"task.{key}: is for kind {listed(kinds)}; this task is of kind {kind}; remove the key")
