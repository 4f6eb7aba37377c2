"""Which of a run's states is exported: that after so many steps, the best, or the last."""

from __future__ import annotations

from engine.errors import UserError
from engine.preset.schema import Preset
from engine.protocol.events import Step
from engine.runs.best import best_evaluation
from engine.runs.directory import RunDir
from engine.runs.lineage import Lineage, returns_of


class Chosen:
    """A state of a run that is exported.

    Attributes: run; wanted, its preset; steps, those of its journal; done, after how many of them the state is; way,
    those that led there.
    """

    def __init__(self, run: RunDir, step: str = "last") -> None:
        """`step`: a number of steps, `best` or `last`. Raises `UserError` where there is no such state."""
        self.run, self.wanted = run, run.preset()
        self.steps = list(run.journal())
        if not self.steps:
            raise UserError(f"{run.name}: has taken no step yet, there is nothing to export")
        self.done = self._after(step)
        self.way = Lineage(returns_of(self.steps), self.done)

    @property
    def led_here(self) -> list[Step]:
        """The steps of the way, in their order."""
        return [self.steps[number] for number in self.way]

    def _after(self, step: str) -> int:
        name, last = self.run.name, len(self.steps)
        if step == "last":
            return last
        if step == "best":
            best = best_evaluation(self.run.evaluations())
            if best is None or best.step > last:
                raise UserError(f"--step best: {name} has no evaluation after its first step; use --step last")
            if best.step == 0:
                raise UserError(
                    f"--step best: no evaluation of {name} is better than that of the base model: it only did harm; "
                    "use the base model, or --step last"
                )
            return best.step
        if not (step.isascii() and step.isdigit() and 1 <= int(step) <= last):
            raise UserError(f"--step {step}: {name} has taken {last:,} steps; use 1 to {last}, best or last")
        return int(step)


def is_adapter(wanted: Preset) -> bool:
    """Whether what moved are the factors of an adapter themselves."""
    return wanted.method.direction == "adapter"
