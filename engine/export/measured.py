"""What an adapter makes of the validation split, beside the run's own weights, and how far the two are apart.

In 16 bits a run's own weights are rounded where it folds, or at every step, and no base + adapter is equal to them bit
for bit: how far it is off is measured, not promised.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from engine.errors import UserError
from engine.export.rebuild import base_loop
from engine.export.which import Chosen
from engine.models.facts import context_of, weights_in_scope
from engine.models.tokenizer import read_tokenizer
from engine.preflight import identity
from engine.preflight.demo import with_demo
from engine.runtimes.training_loop import TrainingLoop
from engine.tasks import objective
from engine.tasks.load import Task, load_task

if TYPE_CHECKING:
    from engine.export.lora import Adapter

_MOST = 128  # examples: on a processor, a large model takes seconds for each
_ROWS = 16  # of each matrix that are compared


class Comparison:
    """Of a run's own weights with its base model and an adapter; one of the two models is in memory at a time."""

    def __init__(self, chosen: Chosen, path: str, own: TrainingLoop) -> None:
        """`own` has the run's own weights, `path` is the base model's."""
        self._chosen, self._path = chosen, path
        self._dtype = str(own.model.dtype).removeprefix("torch.")
        self._task, self._why_not = None, ""
        try:
            self._task = _task(chosen, path, own)
        except UserError as error:
            self._why_not = str(error)
        every = self._task.validation if self._task else []
        self._examples = every[:: -(-len(every) // _MOST)] if every else []
        self._own, self._rows = self._loss(own), _rows(own)

    def with_adapter(self, found: Adapter) -> list[str]:
        """The losses of both, and what they differ by, in lines for people."""
        base = base_loop(self._chosen, self._path)
        apart = self._apart(base, found)
        with _applied(base, found):
            loss = self._loss(base)
        if self._own is None or loss is None:
            said = [f"the validation loss was not measured: {self._why_not}"]
        else:
            said = [
                f"validation loss of {len(self._examples)} examples: {self._own:.6f} by the run's own weights, "
                f"{loss:.6f} by base + adapter ({loss - self._own:+.1e})"
            ]
        if self._dtype != "float32":
            said.append(
                f"the run's own weights are rounded to {self._dtype}, an adapter beside them is not: the two differ by "
                f"{apart:.1%} of what the adapter adds"
            )
        return said

    def _loss(self, loop: TrainingLoop) -> float | None:
        if self._task is None:
            return None
        scores = loop.score(self._examples)
        return objective.metrics(self._task.objective, self._examples, scores)["loss"]

    def _apart(self, base: TrainingLoop, found: Adapter) -> float:
        """|own - (base + adapter)| / |adapter|, over some rows of each matrix."""
        apart = added = 0.0
        before = _rows(base)
        for matrix in found.matrices:
            b, a = found.factors(matrix)
            learned = b[_some(len(b))].double() @ a.double()
            own, began = self._rows[matrix.name].double(), before[matrix.name].double()
            apart += float((own - began - learned).square().sum())
            added += float(learned.square().sum())
        return math.sqrt(apart / added) if added else 0.0


def _rows(loop: TrainingLoop) -> dict[str, torch.Tensor]:
    """Some rows of each matrix."""
    in_scope = weights_in_scope(loop.model, experts=False)
    return {matrix.name: weight[_some(len(weight))].clone() for matrix, weight in in_scope}


def _some(rows: int) -> slice:
    """So many of them, evenly apart."""
    return slice(None, None, max(1, rows // _ROWS))


def _task(chosen: Chosen, path: str, loop: TrainingLoop) -> Task:
    """The data of the run. Raises `UserError` if it is not what it was."""
    run, wanted = chosen.run, chosen.wanted
    was = run.info.read().started_on
    sources = {"task.train": wanted.task.train, "task.validation": wanted.task.validation}
    identity.check_still_there(run, sources)
    _, task = with_demo(wanted, lambda name, progress, detail: None)
    context = context_of(loop.model.config)
    found = load_task(
        task,
        read_tokenizer(path, trust_remote_code=wanted.model.trust_remote_code),
        seed=wanted.run.seed,
        max_length=min(context, wanted.model.max_length or context),
        rules=identity.rules_of(run, was),
    )
    if was and was.data:
        identity.check_data(identity.of_data(found), was.data)
    return found


@contextmanager
def _applied(loop: TrainingLoop, found: Adapter) -> Iterator[None]:
    """Within it, the model scores with the adapter, in float32, as peft has it."""

    def adapted(
        factors: tuple[torch.Tensor, torch.Tensor], module: torch.nn.Module, inputs: Any, output: torch.Tensor
    ) -> torch.Tensor:
        (x,), (b, a) = inputs, factors
        return output + (x.float() @ a.T @ b.T).to(output.dtype)

    hooks = [
        loop.model.get_submodule(matrix.name.removesuffix(".weight")).register_forward_hook(
            partial(adapted, found.factors(matrix))
        )
        for matrix in found.matrices
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
