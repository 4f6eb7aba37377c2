"""Which of a run's states is meant: that after so many steps, the best, or the last."""

from __future__ import annotations

from engine.errors import UserError
from engine.runs.best import best_evaluation
from engine.runs.directory import RunDir


def steps_of_state(run: RunDir, step: str, *, base: bool) -> int:
    """After how many steps a state was: `step` is that number, `best`, `last`, or `base` for the model as it came.

    `base`: whether the model as it came will do. Raises `UserError` where there is no such state.
    """
    name, last = run.name, run.steps_done()
    if step == "last":
        return last
    if step == "best":
        return _best(run, last, base=base)
    number = 0 if step == "base" and base else int(step) if step.isascii() and step.isdigit() else -1
    if not (0 if base else 1) <= number <= last:
        known = f"0 to {last}, base, best" if base else f"1 to {last}, best"
        raise UserError(f"--step {step}: {name} has taken {last:,} steps; use {known} or last")
    return number


def _best(run: RunDir, last: int, *, base: bool) -> int:
    evaluations = [one for one in run.evaluations() if one.step <= last]
    best = best_evaluation(evaluations)
    if best is None or not (base or any(one.step for one in evaluations)):
        raise UserError(f"--step best: {run.name} has no evaluation after its first step; use --step last")
    if best.step == 0 and not base:
        # What is there already need not be written once more, and whoever asks for the best expects what was learned.
        raise UserError(
            f"--step best: no evaluation of {run.name} is better than that of the base model, and the run only did "
            "harm by it; use the base model, or --step last"
        )
    return best.step
