"""The ratchet: on an evaluation that is worse than the best, back to the best state, and on with half the rate.

It looks at the loss of the validation split alone, where the steps begin and wherever `run.eval_every` has it due; an
evaluation that somebody asked for in between changes nothing. It is not tolerant: the same weights have the same loss
on the same examples, bit for bit, so what is worse is worse, though perhaps by chance. The price of a false alarm is
the steps since the last evaluation, and a rate that would have had to fall anyway.

What it decides is a function of the evaluations on record, so that an engine that takes a run up decides the same. The
step that follows a return tells of it (`Step.returned_to`); directions are functions of the step's number, which goes
on, so other ones are tried.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.protocol.events import Eval
from engine.runs.best import least_loss


def return_before(evaluations: Sequence[Eval], step: int) -> int | None:
    """To the state after how many steps the run returns before it takes `step`; None where it goes on from where it is.

    It goes on unless it was evaluated right there, and that is worse than the best until then.
    """
    here = next((one for one in reversed(evaluations) if one.step == step and one.counts), None)
    best = least_loss(evaluations, step) if here is not None else None
    if here is None or best is None or here.metrics["loss"] <= best.metrics["loss"]:
        return None
    return best.step
