"""Which of a run's states is exported: that after so many steps, the best, or the last."""

from __future__ import annotations

from engine.errors import UserError
from engine.preset.schema import Preset
from engine.protocol.events import Step
from engine.runs.directory import RunDir
from engine.runs.lineage import Lineage, returns_of
from engine.runs.states import steps_of_state


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
        self.done = steps_of_state(run, step, base=False)
        self.way = Lineage(returns_of(self.steps), self.done)

    @property
    def led_here(self) -> list[Step]:
        """The steps of the way, in their order."""
        return [self.steps[number] for number in self.way]


def is_adapter(wanted: Preset) -> bool:
    """Whether what moved are the factors of an adapter themselves."""
    return wanted.method.direction == "adapter"
