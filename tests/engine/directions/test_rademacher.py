"""Signs by counter: what journals depend on for ever, and that they are fair."""

from __future__ import annotations

import numpy as np
import torch

from engine.directions.philox import key
from engine.directions.rademacher import Signs

CPU = torch.device("cpu")


def drawn(
    count: int, seed: int = 7, kind: str = "u", name: str = "a", step: int = 1000, query: int = 3
) -> torch.Tensor:
    out = torch.empty(count)
    Signs(seed, kind, [(name, count)], CPU).fill(out, step, query)
    return out


def test_each_is_one_bit_of_philox_with_the_keys_and_counters_of_the_normals() -> None:
    counter = np.array([0, 1000, 3, 0], np.uint64)
    words = np.random.Philox(key=np.array(key(7, "u", "a"), np.uint64), counter=counter).random_raw(20).tolist()
    expected = [1.0 if (words[index // 64] >> (index % 64)) & 1 else -1.0 for index in range(1234)]
    assert drawn(1234).tolist() == expected


def test_the_signs_of_a_journal_never_change() -> None:
    told = "".join("+" if sign > 0 else "-" for sign in drawn(32).tolist())
    assert told == "----+-+-+-+++-+-+-++-+++-+-+++-+"


def test_they_are_fair_and_do_not_hang_together() -> None:
    signs = drawn(1_000_000).double()
    assert set(signs.tolist()) == {-1.0, 1.0}
    assert abs(signs.mean()) < 4e-3
    for apart in (1, 2, 8, 32, 64, 256):
        assert abs((signs[:-apart] * signs[apart:]).mean()) < 4e-3
    for other in ({"seed": 8}, {"kind": "v"}, {"name": "b"}, {"step": 1001}, {"query": 2}):
        assert abs((signs * drawn(1_000_000, **other)).mean()) < 4e-3, other  # type: ignore[arg-type]


def test_a_tensor_draws_the_same_whatever_lies_beside_it() -> None:
    tensors = [("b", 100), ("a", 1234), ("c", 70_000), ("d", 256)]
    out = torch.full((sum(count for _, count in tensors),), torch.nan)
    Signs(7, "u", tensors, CPU).fill(out, 1000, 3)
    for (name, count), part in zip(tensors, out.split([count for _, count in tensors]), strict=True):
        assert torch.equal(part, drawn(count, name=name)), name
