"""Standard normals by counter: the same numbers on every processor and every GPU, bit for bit.

Random bits are those of Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), with
a key for (seed, kind, parameter name) and the counter (place, step, query, 0). A normal takes 32 of them: they choose
two quantiles of a table of 65,536, whose sum over the square root of 2 has the mean 0, the variance 1 and, to 4e-4, the
kurtosis of a normal, in 2^32 steps up to 6.1. Only additions and one product are done with them, which every device
rounds alike; logarithms and cosines, as usual methods need, differ between devices in their last bits.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from statistics import NormalDist
from typing import Any

import numpy as np
import torch

from engine.directions import gpu

QUANTILES = 65536
_GRID = 2.0**20  # quantiles are multiples of 1 / this: their sums are exact in float32
_AT_A_COUNTER = 8  # normals of the 256 bits that a counter gives
_LEAST = 2**16  # numbers that are made together at least, where tensors are small


class Normals:
    """Fills tensors that lie one after the other in a flat one, each with numbers that are its own."""

    def __init__(self, seed: int, kind: str, tensors: Sequence[tuple[str, int]], device: torch.device) -> None:
        """`tensors`: the name and the number of elements of each. `kind` keeps apart what has the same name."""
        self._keys = [key(seed, kind, name) for name, _ in tensors]
        self._counts = [count for _, count in tensors]
        self._ends = list(accumulate(self._counts))
        self._device = device
        self._there = self._put_there() if gpu.runs_kernels(device) else None

    def fill(self, out: torch.Tensor, step: int, query: int = 0) -> None:
        """out: flat, float32, with as many elements as all tensors have together."""
        if self._there is not None:
            from engine.directions import kernels

            kernels.draw(out, **self._there, step=step, query=query)
            return
        first = 0
        while first < len(self._counts):  # in parts, so that what is held between stays small
            last = first + 1
            while last < len(self._counts) and self._ends[last - 1] - self._start(first) < _LEAST:
                last += 1
            part = out[self._start(first) : self._ends[last - 1]]
            _fill(part, self._keys[first:last], self._counts[first:last], step, query)
            first = last

    def _start(self, index: int) -> int:
        return self._ends[index] - self._counts[index]

    def _put_there(self) -> dict[str, torch.Tensor]:
        """What the kernel reads."""
        from engine.directions.kernels import DRAWN, programs

        places = [(end - count, count) for end, count in zip(self._ends, self._counts, strict=True)]
        keys = torch.from_numpy(np.array(self._keys, dtype=np.uint64).view(np.int64))
        return {
            "places": torch.tensor(places).to(self._device),
            "keys": keys.to(self._device),
            "grid": programs(self._counts, DRAWN, self._device),
            "table": torch.from_numpy(quantiles()).to(self._device),
        }


def key(seed: int, kind: str, name: str) -> tuple[int, int]:
    """The key of one tensor, 128 bits: a cryptographic hash, so that neighbouring seeds and names share nothing."""
    digest = hashlib.blake2b(f"{seed}/{kind}/{name}".encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


class Bits:
    """Random bits of one key, step and query on a processor, from the first on."""

    def __init__(self, of: tuple[int, int], step: int, query: int = 0) -> None:
        # numpy counts up before it makes numbers: the first come of the counter 1.
        self._made = np.random.Philox(key=np.array(of, np.uint64), counter=np.array([0, step, query, 0], np.uint64))

    def take(self, count: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
        """The next numbers of 64 bits."""
        return self._made.random_raw(count)


@cache
def quantiles() -> np.ndarray[Any, np.dtype[np.float32]]:
    """The table: the middles of 65,536 parts of a normal that are equally likely, of variance 1."""
    normal = NormalDist()
    upper = np.array([normal.inv_cdf((number + 0.5) / QUANTILES) for number in range(QUANTILES // 2, QUANTILES)])
    upper /= math.sqrt(float((upper**2).mean()))
    rounded = np.round(upper * _GRID) / _GRID
    return np.concatenate([-rounded[::-1], rounded]).astype(np.float32)


def _fill(out: torch.Tensor, keys: Sequence[tuple[int, int]], counts: Sequence[int], step: int, query: int) -> None:
    sizes = [-(-count // _AT_A_COUNTER) * _AT_A_COUNTER for count in counts]
    words = np.concatenate([Bits(of, step, query).take(size // 2) for of, size in zip(keys, sizes, strict=True)])
    pairs = quantiles().take(words.view(np.uint16)).reshape(-1, 2)
    whole = out.numpy() if sizes == list(counts) else np.empty(sum(sizes), np.float32)
    np.add(pairs[:, 0], pairs[:, 1], out=whole)
    np.multiply(whole, np.float32(math.sqrt(0.5)), out=whole)
    if sizes != list(counts):
        for part, made in zip(out.split(list(counts)), torch.from_numpy(whole).split(sizes), strict=True):
            part.copy_(made[: len(part)])
