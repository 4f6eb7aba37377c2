"""What each interval learned, in the host's memory: beside the model's own files, it is the weights.

W after n folds is W_0 with U_1 V_1^T, U_2 V_2^T, ... folded in, one after the other. V is a function of the step at
which it was drawn, and the noise of a fold of the step before which it was made: what was learned of each interval,
`rank` numbers a row, is all that is to be kept, and the same folds end in the same weights to the bit, in 16 bits too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch

from engine.directions import gpu
from engine.models.streamed import Entry

SMALL = 4  # times smaller than the matrices themselves: of no more use beyond that
# Entries that are folded on a processor when a run is taken up: some five minutes of two cores in bfloat16, one in
# float32 (engine/BENCHMARKS.md, "Rebuilding a long run"). A GPU does as many in a second.
FOLDED_ON_CPU = 2 * 10**11

_STEPS = "intervals"  # in a file: the steps of each; beside it what was learned of each matrix, by its name

Split = Callable[[torch.Tensor], Sequence[torch.Tensor]]
"""Views of each matrix's part of what is flat (`engine.directions.learned.Learned.by_matrix`)."""


class Interval(NamedTuple):
    """began, the step at which V was drawn; folded, the next one when it was folded; learned, flat, of all matrices."""

    began: int
    folded: int
    learned: torch.Tensor


class Intervals:
    """Those that led to the weights as they are, as long as they are no more than `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._all: list[Interval] | None = []
        self._on_its_way: torch.cuda.Event | None = None

    def take(self, began: int, folded: int, learned: torch.Tensor) -> None:
        """What was learned is about to be folded; it is copied, and from a GPU without waiting for it."""
        if self._all is None:
            return
        if len(self._all) >= self._most:
            self._all = None
        elif gpu.runs_kernels(learned.device):
            host = torch.empty(learned.shape, dtype=learned.dtype, pin_memory=True)
            host.copy_(learned, non_blocking=True)
            self._settle()
            self._all.append(Interval(began, folded, host))
            self._on_its_way = torch.cuda.Event()
            self._on_its_way.record()
        else:
            self._all.append(Interval(began, folded, learned.clone()))

    def all(self) -> Sequence[Interval] | None:
        """In the order in which they were folded; None where they are not small, or not known."""
        self._settle()
        return self._all

    def restart(self, known: Sequence[Interval] | None) -> None:
        """The weights are those that these led to; None: those of a file, whatever led to them."""
        self._settle()
        self._all = None if known is None else list(known)

    def _settle(self) -> None:
        """What is pinned is dear: only the newest is, until the next one comes."""
        if self._on_its_way is not None and self._all:
            self._on_its_way.synchronize()
            self._all[-1] = self._all[-1]._replace(learned=self._all[-1].learned.clone())
        self._on_its_way = None


def most_intervals(learned: int, entries: int, size: int, *, on_gpu: bool) -> int:
    """How many are kept, of `learned` numbers each: `entries` of the matrices, and bytes of each with its residual."""
    small = entries * size // SMALL // (4 * learned)
    return small if on_gpu else min(small, FOLDED_ON_CPU // entries)


def by_name(
    known: Sequence[Interval], names: Sequence[str], split: Split, like: torch.Tensor
) -> tuple[dict[str, Entry], Iterator[tuple[str, torch.Tensor]]]:
    """What a file has of them: (n, 2) steps, and (n, rows, rank) of each matrix, in whatever order a runtime has those.

    `like`: what is learned, of whose shape all are.
    """
    shapes = [tuple(part.shape) for part in split(like)]
    entries = {_STEPS: Entry((len(known), 2), torch.int64)}
    entries |= {name: Entry((len(known), *one), like.dtype) for name, one in zip(names, shapes, strict=True)}

    def tensors() -> Iterator[tuple[str, torch.Tensor]]:
        yield _STEPS, torch.tensor([(one.began, one.folded) for one in known], dtype=torch.int64).view(-1, 2)
        parts = [split(one.learned) for one in known]
        for index, (name, shape) in enumerate(zip(names, shapes, strict=True)):
            yield name, torch.stack([part[index] for part in parts]) if parts else torch.empty(0, *shape)

    return entries, tensors()


def read_intervals(file: Any, names: Sequence[str], split: Split, like: torch.Tensor) -> list[Interval]:
    """Those in an open safetensors file, in their order."""
    steps = file.get_tensor(_STEPS).tolist()
    found = [Interval(began, folded, torch.empty(like.shape, dtype=like.dtype)) for began, folded in steps]
    parts = [split(one.learned) for one in found]
    for index, name in enumerate(names):
        for part, learned in zip(parts, file.get_tensor(name), strict=True):
            part[index].copy_(learned)
    return found
