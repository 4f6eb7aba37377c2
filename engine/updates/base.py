"""What an update is, to those who drive it: a rule by name, and what every rule can be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec
import torch

from engine.preset.method import Method
from engine.updates.adam import Adam
from engine.updates.adam_scalar import AdamScalar
from engine.updates.cone import Cone
from engine.updates.memory import Carry
from engine.updates.momentum import Momentum
from engine.updates.msign import TOGETHER, Msign
from engine.updates.sgd import Sgd


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule and its numbers; each rule takes those that it has a use for.

    Attributes: momentum, the decay of first moments, of momentum, msign (0: none), adam and cone; angle, of cone, in
    radians; second_momentum, the decay of squares, of adam-scalar and adam; carry, what becomes of what is remembered
    when the basis changes.
    """

    name: Literal["sgd", "momentum", "adam-scalar", "msign", "adam", "cone"] = "sgd"
    momentum: float = 0.9
    angle: float = 1.35
    second_momentum: float = 0.95
    carry: Carry = "drop"


class Update(Protocol):
    """Moves coordinates, and remembers what its rule asks for."""

    def bend(self, drawn: torch.Tensor) -> None:
        """Make, in place, what is probed of the coordinates that were drawn: for most rules those themselves."""

    def step(
        self, gradients: Sequence[float], direction: Callable[[int], torch.Tensor], lr: float, into: torch.Tensor
    ) -> None:
        """into <- into - lr f(mean_d gradients[d] direction(d)), f being the rule's.

        into, and each direction: flat, float32, the coordinates of all matrices one after the other, each (n, r) by
        rows. One direction is asked for at a time, and not held while the next is; one whose gradient is 0 never is.
        """

    def redraw(self, project: Callable[[torch.Tensor], None] | None = None) -> None:
        """The basis was redrawn: keep, drop or project what is remembered, as the rule's `carry` says.

        project: takes what lies in a flat tensor of coordinates from the old basis to the new, in place. Raises
        `ValueError` if it is due and missing; as long as nothing was learned it is not due.
        """

    def state(self) -> dict[str, torch.Tensor]:
        """What is remembered: flat tensors, which the next step changes, and 0-d float64 numbers on the processor."""

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Remember this, of any device, instead; nothing, if it is empty. It counts as settled.

        Raises `ValueError` if it is not the state of such an update.
        """

    def settled(self) -> dict[str, torch.Tensor]:
        """What was remembered right after the last redraw, in tensors that nothing changes.

        A checkpoint of the fold there has it: `restore` it, and the same steps give the same bits. Empty where nothing
        is remembered then.
        """


def rule_of(method: Method) -> Rule:
    """That of a method."""
    return Rule(
        name=method.update,
        momentum=method.momentum,
        angle=method.angle,
        second_momentum=method.second_momentum,
        carry=method.carry,
    )


def state_numbers(rule: Rule) -> int:
    """How many numbers a rule holds for each coordinate, with those that a checkpoint is written from."""
    held = {"momentum": 1, "msign": 1, "adam": 3, "cone": 2}.get(rule.name, 0)
    remembered = {"momentum": 1, "msign": 1 if rule.momentum else 0, "adam": 2, "cone": 1}.get(rule.name, 0)
    return held + (0 if rule.carry == "drop" else remembered)


def working_bytes(rule: Rule, numbers: int) -> int:
    """What a step of a rule takes for a moment, of so many coordinates: msign's matrices, and products of them."""
    return 4 * 4 * min(TOGETHER, numbers) if rule.name == "msign" else 0


def update_of(rule: Rule, shapes: Sequence[tuple[int, int]], device: torch.device) -> Update:
    """The update of a rule, for matrices of these coordinates: (n, r) of each, in the order in which they lie."""
    size = sum(rows * columns for rows, columns in shapes)
    match rule.name:
        case "sgd":
            return Sgd()
        case "momentum":
            return Momentum(size, device, rule.momentum, rule.carry)
        case "adam-scalar":
            return AdamScalar(rule.second_momentum, rule.carry)
        case "msign":
            return Msign(shapes, device, rule.momentum, rule.carry)
        case "adam":
            return Adam(size, device, rule.momentum, rule.second_momentum, rule.carry)
        case "cone":
            return Cone(shapes, device, rule.momentum, rule.angle, rule.carry)
