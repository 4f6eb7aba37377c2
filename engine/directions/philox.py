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
_LEAST = 2**16  # numbers that are made together at least, where tensors are small
_PART = 1024  # what a program of the kernel makes


class ByCounter:
    """Fills tensors that lie one after the other in a flat one, each with numbers that are its own.

    A law derives from this: it says how many numbers 256 bits give, and which, here and in a kernel.
    """

    at_a_counter: int

    def __init__(
        self, seed: int, kind: str, tensors: Sequence[tuple[str, int]], device: torch.device, *, in_parts: bool = False
    ) -> None:
        """`tensors`: the name and the number of elements of each. `kind` keeps apart what has the same name.

        `in_parts`: they are only ever filled in parts.
        """
        self._in_parts = in_parts
        self._keys = [key(seed, kind, name) for name, _ in tensors]
        self._counts = [count for _, count in tensors]
        self._ends = list(accumulate(self._counts))
        self._device = device
        self._there = self.put_there() if gpu.runs_kernels(device) else None

    def numbers(self, words: np.ndarray[Any, np.dtype[np.uint64]], out: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        """out <- what the bits of `words`, four of every counter, mean."""
        raise NotImplementedError

    def put_there(self) -> dict[str, torch.Tensor]:
        """What the kernel reads."""
        raise NotImplementedError

    def kernel(self, out: torch.Tensor, step: int, query: int, there: dict[str, torch.Tensor]) -> None:
        """Fill all of `out` on a GPU."""
        raise NotImplementedError

    def fill_part(self, out: torch.Tensor, index: int, first: int, step: int, query: int = 0) -> None:
        """out, flat, float32 <- numbers of one tensor, from the `first` on, which is a multiple of `at_a_part`."""
        if self._there is not None:
            self.kernel(out, step, query, self._part_there(index, first, len(out)))
            return
        counters = -(-len(out) // self.at_a_counter)
        words = Bits(self._keys[index], step, query, first // self.at_a_counter).take(4 * counters)
        whole = np.empty(counters * self.at_a_counter, np.float32)
        self.numbers(words, whole)
        out.copy_(torch.from_numpy(whole)[: len(out)])

    @property
    def at_a_part(self) -> int:
        """To a multiple of it, parts of a tensor begin."""
        return self.at_a_counter if self._there is None else _PART

    def fill(self, out: torch.Tensor, step: int, query: int = 0) -> None:
        """out: flat, float32, with as many elements as all tensors have together."""
        if self._there is not None:
            self.kernel(out, step, query, self._there)
            return
        first = 0
        while first < len(self._counts):  # in parts, so that what is held between stays small
            last = first + 1
            while last < len(self._counts) and self._ends[last - 1] - self._start(first) < _LEAST:
                last += 1
            part = out[self._start(first) : self._ends[last - 1]]
            self._fill(part, self._keys[first:last], self._counts[first:last], step, query)
            first = last

    def read_by_kernels(self, at_a_program: int) -> dict[str, torch.Tensor]:
        """What every kernel reads; each of its programs is for so many numbers."""
        from engine.directions.kernels import programs

        places = [(end - count, count) for end, count in zip(self._ends, self._counts, strict=True)]
        keys = torch.from_numpy(np.array(self._keys, dtype=np.uint64).view(np.int64))
        return {
            "places": torch.tensor(places).to(self._device),
            "keys": keys.to(self._device),
            # A list of all programs would be long where tensors are as large as a model.
            "grid": programs([] if self._in_parts else self._counts, at_a_program, self._device),
        }

    def _part_there(self, index: int, first: int, count: int) -> dict[str, torch.Tensor]:
        """What the kernel reads that fills a part: the tensor begins so many numbers before it."""
        assert self._there is not None
        blocks = torch.arange(first // _PART, -(-(first + count) // _PART), dtype=torch.int32, device=self._device)
        return {
            **self._there,
            # [[-first, first + count]], made by the device: what is sent to it from a list is waited for.
            "places": torch.arange(-first, first + count + 1, 2 * first + count, device=self._device)[None],
            "keys": self._there["keys"][index : index + 1],
            "grid": torch.stack([torch.zeros_like(blocks), blocks], 1),
        }

    def _start(self, index: int) -> int:
        return self._ends[index] - self._counts[index]

    def _fill(
        self, out: torch.Tensor, keys: Sequence[tuple[int, int]], counts: Sequence[int], step: int, query: int
    ) -> None:
        counters = [-(-count // self.at_a_counter) for count in counts]
        sizes = [number * self.at_a_counter for number in counters]
        words = np.concatenate([Bits(of, step, query).take(4 * n) for of, n in zip(keys, counters, strict=True)])
        whole = out.numpy() if sizes == list(counts) else np.empty(sum(sizes), np.float32)
        self.numbers(words, whole)
        if sizes != list(counts):
            for part, made in zip(out.split(list(counts)), torch.from_numpy(whole).split(sizes), strict=True):
                part.copy_(made[: len(part)])


class Normals(ByCounter):
    """Standard normals."""

    at_a_counter = 8

    def numbers(self, words: np.ndarray[Any, np.dtype[np.uint64]], out: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        pairs = quantiles().take(words.view(np.uint16)).reshape(-1, 2)
        np.add(pairs[:, 0], pairs[:, 1], out=out)
        np.multiply(out, np.float32(math.sqrt(0.5)), out=out)

    def put_there(self) -> dict[str, torch.Tensor]:
        from engine.directions.kernels import DRAWN

        return {**self.read_by_kernels(DRAWN), "table": torch.from_numpy(quantiles()).to(self._device)}

    def kernel(self, out: torch.Tensor, step: int, query: int, there: dict[str, torch.Tensor]) -> None:
        from engine.directions import kernels

        kernels.draw(out, **there, step=step, query=query)


def key(seed: int, kind: str, name: str) -> tuple[int, int]:
    """The key of one tensor, 128 bits: a cryptographic hash, so that neighbouring seeds and names share nothing."""
    digest = hashlib.blake2b(f"{seed}/{kind}/{name}".encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


class Bits:
    """Random bits of one key, step and query on a processor, from the first counter on, or a later one."""

    def __init__(self, of: tuple[int, int], step: int, query: int = 0, first: int = 0) -> None:
        # numpy counts up before it makes numbers: the first come of the counter 1.
        counter = np.array([first, step, query, 0], np.uint64)
        self._made = np.random.Philox(key=np.array(of, np.uint64), counter=counter)

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
