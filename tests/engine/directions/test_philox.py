"""Numbers by counter: what journals depend on for ever, and that they are normal."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from engine.directions.philox import Normals, quantiles

CPU = torch.device("cpu")


def drawn(count: int, seed: int = 7, step: int = 1000, query: int = 3) -> torch.Tensor:
    out = torch.empty(count)
    Normals(seed, "u", [("model.layers.0.fc1.weight", count)], CPU).fill(out, step, query)
    return out


def test_the_numbers_of_a_journal_never_change() -> None:
    table = quantiles()
    assert hashlib.sha256(table.tobytes()).hexdigest()[:16] == "e8cfff23047b7e58"
    assert drawn(4).tolist() == [1.0737000703811646, -0.346971720457077, -0.3412235677242279, 0.8661689758300781]


def test_they_are_standard_normal_and_do_not_hang_together() -> None:
    numbers = drawn(4_000_000).double()
    assert abs(numbers.mean()) < 4 / 4e6**0.5
    assert abs(numbers.var() - 1) < 4 * (2 / 4e6) ** 0.5
    assert abs((numbers**4).mean() - 3) < 4 * (96 / 4e6) ** 0.5
    for limit, beyond in ((1.0, 0.317311), (2.0, 0.045500), (3.0, 0.0026998), (4.0, 6.334e-5)):
        assert abs((numbers.abs() > limit).double().mean() - beyond) < 4 * (beyond / 4e6) ** 0.5
    for apart in (1, 2, 4, 8):
        assert abs((numbers[:-apart] * numbers[apart:]).mean()) < 4 / 4e6**0.5
    assert abs((numbers * drawn(4_000_000, step=1001).double()).mean()) < 4 / 4e6**0.5


def test_the_table_is_symmetric_in_order_and_of_variance_one() -> None:
    table = quantiles().astype(np.float64)
    assert np.array_equal(table, -table[::-1]) and (np.diff(table) > 0).all()
    assert abs((table**2).mean() - 1) < 1e-8
    assert np.array_equal(np.round(table * 2**20), table * 2**20)  # so that the sum of two is exact in float32
