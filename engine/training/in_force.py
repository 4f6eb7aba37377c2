"""What is in force at a step: the preset as changes and returns have made it, and the optimizer that follows it."""

from __future__ import annotations

from engine.optimizer import Optimizer
from engine.preset.schema import Preset, deaf
from engine.protocol.commands import Change
from engine.protocol.events import Changed
from engine.runs.changes import Changes, changed_preset
from engine.runs.directory import RunDir
from engine.tasks.objective import Objective


class InForce:
    """Follows a run from step to step.

    Attributes: preset; optimizer; changed, what of them is not as the run began; returns, those of the journal, see
    `engine.runs.lineage`; returned_to, the state that the step which is being taken returned to.
    """

    preset: Preset
    optimizer: Optimizer
    changed: Changed

    def __init__(self, run: RunDir, wanted: Preset, objective: Objective) -> None:
        self._wanted, self._objective = wanted, objective
        self._changes = Changes(run, wanted)
        self.returns: dict[int, int] = {}
        self.returned_to: int | None = None
        self._take(self._changes.at(0))

    def adopt(self, step: int) -> bool:
        """Take on what is in force at a step, the next to be taken; whether it is other than before."""
        returning = () if self.returned_to is None else (step,)
        changed = self._changes.at(step, (*self.returns, *returning))
        if changed == self.changed:
            return False
        self._take(changed)
        return True

    def rate_is_set_at(self, step: int) -> bool:
        """Whether the rate in force was set to hold from this very step on."""
        return self.changed.step == step and self.changed.lr_set

    def refusal(self, change: Change) -> str:
        """Why a change is refused, as a preset would be that says the same; empty where it is not."""
        if change.eval_every is None:
            return ""
        run = self.preset.run.model_copy(update={"eval_every": change.eval_every or None})
        reason = deaf(self.preset.method, run)
        return f"{reason} ({run.steps}); nothing is changed" if reason else ""

    def change(self, step: int, change: Change) -> Changed:
        """Put a change on record, from `step` on; returns what is in force then. Raises `OSError`: it is not then."""
        return self._changes.change(step, change, self.returns)

    def _take(self, changed: Changed) -> None:
        self.changed, self.preset = changed, changed_preset(self._wanted, changed)
        self.optimizer = Optimizer(self.preset.method, self.preset.run.steps, self._objective, self.preset.run.seed)
