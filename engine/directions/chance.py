"""Rounding to one of two neighbours by chance, the nearer the likelier; what chances come from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from engine.directions.keyed import keyed_generator
from engine.directions.philox import Bits, key


def chances_of(drawn: str, seed: int, step: int, name: str, device: torch.device) -> Callable[[int], torch.Tensor]:
    """Takes a number; returns as many that are evenly distributed between 0 and 1, other ones each time.

    A function of seed, step and parameter name; `drawn` is a run's `engine.directions.low_rank.Drawn`.
    """
    if drawn == "torch":
        noise = keyed_generator(f"{seed}/fold/{step}/{name}", device)
        return lambda count: torch.rand(count, generator=noise, device=device)
    bits = Bits(key(seed, "fold", name), step)
    left = np.empty(0, np.uint32)

    def take(count: int) -> torch.Tensor:
        nonlocal left
        more = bits.take(-(-max(0, count - len(left)) // 2)).view(np.uint32)
        taken, left = np.split(np.concatenate([left, more]), [count])
        return torch.from_numpy((taken >> 8).astype(np.float32) * np.float32(2**-24))

    return take


def round_by_chance(total: torch.Tensor, dtype: torch.dtype, chance: torch.Tensor) -> torch.Tensor:
    """`total` rounded to one of its two neighbours in `dtype`, such that the mean is `total`.

    chance: as many numbers, evenly distributed between 0 and 1; overwritten.
    """
    nearest = total.to(dtype)  # keeps the sign, also where it is zero
    back = nearest.float()
    away = torch.where(total.abs() > back.abs(), 1, -1).to(torch.int16)
    other = neighbour(nearest, away)
    gap = (other.float() - back).abs_()
    return torch.where(chance.view_as(gap).mul_(gap) < (total - back).abs_(), other, nearest)


def neighbour(weight: torch.Tensor, away: torch.Tensor | int) -> torch.Tensor:
    """The next number of the same precision and sign: away from zero for 1, towards it for -1.

    Numbers of one sign are ordered as their bits are, subnormals included.
    """
    return (weight.view(torch.int16) + away).view(weight.dtype)
