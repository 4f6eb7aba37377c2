"""What updates remember across changes of basis, and from a checkpoint; and that nothing waits for the device."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.updates.base import Rule, Update, update_of
from engine.updates.memory import Carry

CPU = torch.device("cpu")
SHAPES = [(10, 3), (6, 2)]
SIZE = 42
RULES: list[dict[str, Any]] = [
    {"name": "sgd"},
    {"name": "momentum"},
    {"name": "adam-scalar"},
    {"name": "msign", "momentum": 0.0},
    {"name": "msign", "momentum": 0.7},
    {"name": "cone"},
    {"name": "adam"},
]
REMEMBERING = [rule for rule in RULES if rule["name"] != "sgd" and rule.get("momentum") != 0.0]
PROJECTED = {
    "momentum": ["momentum"],
    "adam-scalar": [],
    "msign": ["momentum"],
    "adam": ["first"],
    "cone": ["momentum"],
}


def of(rule: dict[str, Any], carry: Carry, device: torch.device = CPU) -> Update:
    return update_of(Rule(**rule, carry=carry), SHAPES, device)


def steps(update: Update, first: int, last: int) -> torch.Tensor:
    """How far steps go, from the origin."""
    into = torch.zeros(SIZE)
    for step in range(first, last):
        random = torch.Generator().manual_seed(step)
        directions = torch.randn(2, SIZE, generator=random)
        for drawn in directions:
            update.bend(drawn)
        update.step([0.3 + step, -0.2 * step], directions.__getitem__, 0.1, into)
    return into


def halve(state: torch.Tensor) -> None:
    state.mul_(0.5)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_what_is_dropped_leaves_an_update_that_begins(rule: dict[str, Any]) -> None:
    used = of(rule, "drop")
    steps(used, 0, 4)
    used.redraw()
    assert torch.equal(steps(used, 4, 7), steps(of(rule, "drop"), 4, 7))
    assert used.settled() == {}


@pytest.mark.parametrize("rule", REMEMBERING, ids=str)
def test_what_is_kept_goes_on_as_if_the_basis_were_the_same(rule: dict[str, Any]) -> None:
    used, other, begun = of(rule, "keep"), of(rule, "keep"), of(rule, "keep")
    assert torch.equal(steps(used, 0, 4), steps(other, 0, 4))
    used.redraw(halve)
    gone = steps(used, 4, 7)
    assert torch.equal(gone, steps(other, 4, 7))
    assert not torch.equal(gone, steps(begun, 4, 7))


@pytest.mark.parametrize("rule", REMEMBERING, ids=str)
def test_what_is_projected_is_what_has_a_direction(rule: dict[str, Any]) -> None:
    used = of(rule, "project")
    used.redraw()  # nothing was learned, and nothing is due
    steps(used, 0, 4)
    before = {name: tensor.clone() for name, tensor in used.state().items()}
    used.redraw(halve)
    after = used.state()
    assert before.keys() == after.keys() and before
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor / 2 if name in PROJECTED[rule["name"]] else tensor), name
    if PROJECTED[rule["name"]]:
        with pytest.raises(ValueError, match="from the old basis to the new"):
            used.redraw()


@pytest.mark.parametrize("carry", ["keep", "project"])
@pytest.mark.parametrize("rule", REMEMBERING, ids=str)
def test_what_settled_gives_the_bits_of_the_interval_again(rule: dict[str, Any], carry: Carry) -> None:
    used = of(rule, carry)
    used.redraw()
    begun = used.settled()
    first = steps(used, 0, 3)
    used.redraw(halve)
    settled = used.settled()
    kept = {name: tensor.clone() for name, tensor in settled.items()}
    second = steps(used, 3, 6)
    assert all(torch.equal(settled[name], kept[name]) for name in kept) and kept
    for update in (used, of(rule, carry)):
        update.restore(settled)
        assert torch.equal(steps(update, 3, 6), second)
        assert all(torch.equal(update.settled()[name], kept[name]) for name in kept)
        update.restore(begun)
        assert torch.equal(steps(update, 0, 3), first)
        update.restore({})
        assert torch.equal(steps(update, 0, 3), first)
    assert not torch.equal(steps(of(rule, carry), 3, 6), second)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_state_within_an_interval_is_gone_on_from(rule: dict[str, Any]) -> None:
    used, other = of(rule, "drop"), of(rule, "drop")
    steps(used, 0, 3)
    state = used.state()
    assert all(t.dtype == (torch.float64 if t.ndim == 0 else torch.float32) and t.ndim < 2 for t in state.values())
    steps(other, 7, 9)
    other.restore(state)
    assert torch.equal(steps(used, 3, 6), steps(other, 3, 6))


def test_the_state_of_another_rule_is_refused() -> None:
    momentum = of({"name": "momentum"}, "keep")
    for state in (of({"name": "adam"}, "keep").state(), {"momentum": torch.zeros(SIZE - 1)}):
        with pytest.raises(ValueError, match="not the state of such an update"):
            momentum.restore(state)


@pytest.mark.parametrize("carry", ["keep", "project", "drop"])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_nothing_waits_for_the_device(rule: dict[str, Any], carry: Carry) -> None:
    """There are no numbers on the meta device to be read back."""
    meta = torch.device("meta")
    update = of(rule, carry, meta)
    for _ in range(2):
        update.bend(torch.empty(SIZE, device=meta))
        update.step([0.3, -0.2], lambda index: torch.empty(SIZE, device=meta), 0.1, torch.empty(SIZE, device=meta))
        update.redraw(halve)
    assert all(tensor.device.type == ("meta" if tensor.ndim else "cpu") for tensor in update.settled().values())
