"""What an update remembers from step to step, and what becomes of it when the basis changes.

keep       it stays as it is: its numbers are read in the new basis.
project    moments are taken from the old basis to the new; numbers, and squares, which have no direction, stay.
drop       it starts anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch

Carry = Literal["keep", "project", "drop"]


class Memory:
    """Rules derive from this. A copy of what is remembered is kept at every change of basis, unless it is dropped.

    Attributes: tensors, flat, float32, one number a coordinate; numbers, kept on the processor.
    """

    def __init__(
        self,
        carry: Carry,
        tensors: Mapping[str, torch.Tensor] | None = None,
        numbers: Sequence[str] = (),
        projected: Sequence[str] = (),
    ) -> None:
        """`projected`: the tensors that have a direction."""
        self.tensors, self.numbers = dict(tensors or {}), dict.fromkeys(numbers, 0.0)
        self._carry, self._projected = carry, projected
        self._settled: dict[str, torch.Tensor] = {}
        self.learned = False
        """Whether there is anything to remember."""

    def redraw(self, project: Callable[[torch.Tensor], None] | None = None) -> None:
        """See `engine.updates.base.Update`, as of all that follow."""
        if self._carry == "drop":
            self._forget()
        elif self._carry == "project" and self.learned:
            for name in self._projected:
                if project is None:
                    raise ValueError(f"nothing takes the {name} from the old basis to the new")
                project(self.tensors[name])
        self._settle()

    def bend(self, drawn: torch.Tensor) -> None:
        """What is drawn is what is probed."""

    def state(self) -> dict[str, torch.Tensor]:
        numbers = {name: torch.tensor(number, dtype=torch.float64) for name, number in self.numbers.items()}
        return {**self.tensors, **numbers}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        if state:
            self._take(state)
        else:
            self._forget()
        self._settle()

    def settled(self) -> dict[str, torch.Tensor]:
        return dict(self._settled)

    def _take(self, state: Mapping[str, torch.Tensor]) -> None:
        wanted = {name: tensor.shape for name, tensor in self.state().items()}
        given = {name: tensor.shape for name, tensor in state.items()}
        if wanted != given:
            raise ValueError(f"this is not the state of such an update: {given} instead of {wanted}")
        for name, tensor in self.tensors.items():
            tensor.copy_(state[name])
        for name in self.numbers:
            self.numbers[name] = float(state[name])
        self.learned = True

    def _forget(self) -> None:
        for tensor in self.tensors.values():
            tensor.zero_()
        self.numbers = dict.fromkeys(self.numbers, 0.0)
        self.learned = False

    def _settle(self) -> None:
        self._settled = {}  # makes room for the new ones, unless somebody still has the old
        if self._carry != "drop":
            self._settled = {name: tensor.clone() for name, tensor in self.state().items()}


def take_in(
    mean: torch.Tensor, keep: float, gradients: Sequence[float], direction: Callable[[int], torch.Tensor]
) -> None:
    """mean <- keep mean + (1 - keep) mean_d gradients[d] direction(d)."""
    if keep:
        mean.mul_(keep)
    else:
        mean.zero_()
    for index, gradient in enumerate(gradients):
        coefficient = (1 - keep) * gradient / len(gradients)
        if coefficient:
            mean.add_(direction(index), alpha=coefficient)
