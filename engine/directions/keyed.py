"""torch's generators as a function of a key: what drew the directions of zotui 0.2 and earlier.

On a GPU their numbers depend on its model, and on a processor they are others. Runs that began with them go on with
them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch

from engine.models.weights import Matrix


def keyed_generator(key: str, device: torch.device) -> torch.Generator:
    """A generator that is a function of `key` and of the kind of device, and of nothing else."""
    # A cryptographic hash, so that neighbouring steps and names share nothing.
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)


class TorchDirections:
    """A source of directions (`engine.directions.low_rank.Directions`), one matrix after the other."""

    def __init__(self, matrices: Sequence[Matrix], rank: int, seed: int, device: torch.device) -> None:
        self._matrices, self._rank, self._seed, self._device = matrices, rank, seed, device

    def v_into(self, out: torch.Tensor, step: int) -> None:
        for part, matrix in zip(self._parts(out, [m.cols for m in self._matrices]), self._matrices, strict=True):
            part.normal_(generator=keyed_generator(f"{self._seed}/v/{step}/{matrix.name}", self._device))

    def u_into(self, out: torch.Tensor, step: int, query: int) -> None:
        for part, matrix in zip(self._parts(out, [m.rows for m in self._matrices]), self._matrices, strict=True):
            part.normal_(generator=keyed_generator(f"{self._seed}/u/{step}/{query}/{matrix.name}", self._device))

    def _parts(self, out: torch.Tensor, lengths: list[int]) -> tuple[torch.Tensor, ...]:
        return out.split([length * self._rank for length in lengths])
