"""Residuals that lie in the host's memory, brought to a GPU for a fold and back, a few matrices ahead of it.

The GPU has room for some matrices' residuals. Those of the first are fetched while the steps before the fold go on,
those of the next while the fold is at the ones before, and what was folded goes back while the steps after it go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from engine.errors import UserError, first_line
from engine.models.weights import Matrix
from engine.text import in_bytes

PLACES = 2
"""Residuals of the largest matrix that the GPU has room for."""

_CHUNK = 2**30  # bytes: torch takes a power of two of the host for whatever is pinned, so matrices share what it takes
_ENTRY = 2  # bytes


class Staging:
    """The residuals of all matrices, which are folded in the order in which they were made."""

    def __init__(self, matrices: Sequence[Matrix], device: torch.device) -> None:
        largest = max((matrix.rows * matrix.cols for matrix in matrices), default=0)
        places = min(PLACES, len(matrices))
        self._places = [torch.empty(largest, dtype=torch.int16, device=device) for _ in range(places)]
        self._device = device
        try:
            self._chunks = [torch.empty(s // _ENTRY, dtype=torch.int16, pin_memory=True) for s in _chunks(matrices)]
        except RuntimeError as error:  # WSL and containers may pin less than there is
            size = in_bytes(pinned_bytes(matrices))
            raise UserError(
                f"model.fold: {size} of the host's memory cannot be pinned for residuals ({first_line(error)[:80]}); "
                "use --set model.fold=stochastic in a new run"
            ) from None
        self._free = [len(chunk) for chunk in self._chunks]
        self._streams = [torch.cuda.Stream(device) for _ in range(places)]  # one a place: what is done there has order
        self._made: list[torch.Tensor] = []
        self._index: dict[int, int] = {}  # of each, by its `id`
        self._fetched: dict[int, int] = {}  # matrix: place, of those that are there or on their way
        self._returned: dict[int, torch.cuda.Event] = {}  # matrix: when the host has it again

    def make(self, matrix: Matrix) -> torch.Tensor:
        """The residual of the next matrix, (rows, cols) int16, on the host."""
        size = matrix.rows * matrix.cols
        index = next(index for index, free in enumerate(self._free) if free >= size)
        start = len(self._chunks[index]) - self._free[index]
        self._free[index] -= size
        residual = self._chunks[index][start : start + size].view(matrix.rows, matrix.cols).zero_()
        self._index[id(residual)] = len(self._made)
        self._made.append(residual)
        return residual

    @contextmanager
    def at_hand(self, residual: torch.Tensor) -> Iterator[torch.Tensor]:
        """Within it, the residual on the GPU; what the current stream does to it goes back."""
        index = self._index[id(residual)]
        if index not in self._fetched:
            free = set(range(len(self._places))) - set(self._fetched.values())
            self._fetch(index, min(free) if free else self._fetched.pop(next(iter(self._fetched))))
        place = self._fetched.pop(index)
        there = self._places[place][: residual.numel()].view(residual.shape)
        here, stream = torch.cuda.current_stream(self._device), self._streams[place]
        here.wait_stream(stream)
        yield there
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            residual.copy_(there, non_blocking=True)
            self._returned[index] = torch.cuda.Event()
            self._returned[index].record(stream)
        following = (index + len(self._places)) % len(self._made)
        if following not in self._fetched:
            self._fetch(following, place)

    def settle(self) -> None:
        """Wait until the host has everything; what was fetched is forgotten: it is about to be read, or was written."""
        for stream in self._streams:
            stream.synchronize()
        self._fetched.clear()

    def _fetch(self, index: int, place: int) -> None:
        """Begin to fetch a matrix's residual, after what is going on at that place."""
        residual, stream = self._made[index], self._streams[place]
        if index in self._returned:
            stream.wait_event(self._returned[index])
        with torch.cuda.stream(stream):
            self._places[place][: residual.numel()].copy_(residual.view(-1), non_blocking=True)
        self._fetched[index] = place


def pinned_bytes(matrices: Sequence[Matrix]) -> int:
    """What the residuals of matrices take of the host's memory."""
    return sum(_chunks(matrices))


def _chunks(matrices: Sequence[Matrix]) -> list[int]:
    """Bytes of the pieces of pinned memory that hold the residuals of these, the first that has room each."""
    left = sum(matrix.rows * matrix.cols for matrix in matrices) * _ENTRY
    chunks: list[int] = []
    free: list[int] = []
    for size in (matrix.rows * matrix.cols * _ENTRY for matrix in matrices):
        index = next((index for index, room in enumerate(free) if room >= size), None)
        if index is None:
            chunks.append(_power(max(size, min(left, _CHUNK))))
            free.append(chunks[-1])
            index = len(free) - 1
        free[index] -= size
        left -= size
    return chunks


def _power(size: int) -> int:
    return 1 << (size - 1).bit_length()
