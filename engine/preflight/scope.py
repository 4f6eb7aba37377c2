"""What moves in a run, in numbers and in words, and what of a model cannot."""

from __future__ import annotations

from engine.directions.space import space_of
from engine.errors import UserError
from engine.estimators.probing import Probing
from engine.models.experts import of_expert
from engine.models.facts import ModelFacts
from engine.optimizer import probing_of
from engine.preset.method import Method
from engine.preset.schema import Preset


def moving_numbers(facts: ModelFacts, method: Method) -> int:
    """How many parameters move: the model's own, or those of an adapter."""
    space = space_of(method)
    if space.moves_weights:
        return sum(m.rows * m.cols for m in facts.moving)
    return space.rank * sum(m.rows + (m.cols if space.own_a else 0) for m in facts.matrices)


def probing_at_once(method: Method, batch: int) -> Probing:
    """What passes are sized to: dense directions are scored a sign at a time, however many a step has."""
    return Probing() if method.direction == "dense" else probing_of(method, batch)


def describe_scope(facts: ModelFacts, method: Method) -> str:
    """Which share of the model moves and what does not, for the log and the preflight."""
    if facts.scope != "adapter":
        return str(facts.still)
    size = moving_numbers(facts, method)
    share = size / facts.parameters
    return f"an adapter moves, of {size:,} parameters ({share:.2g} of the model's); the weights stay as they are"


def check_scope(facts: ModelFacts, method: Method, runtime: str) -> None:
    """Raise `UserError` for an adapter that this runtime has no form of, before anything is loaded."""
    if facts.scope != "adapter" or not any(of_expert(matrix.name) for matrix in facts.matrices):
        return
    if space_of(method).own_a:
        raise UserError(
            f"method.moves: {facts.path} is a mixture, whose experts have adapters of which B alone moves; "
            "use method.name = mobizo, or low-rank directions, as lozo has"
        )
    if runtime != "vllm":
        raise UserError(
            f"method.scope: the training loop has no adapters for the experts of a mixture, as {facts.path} is; "
            "use model.runtime = vllm, or low-rank directions, as lozo has"
        )


def folds_of(wanted: Preset) -> int:
    """How often a run folds what an interval learned: as each but the first begins."""
    return (wanted.run.steps - 1) // wanted.method.interval
