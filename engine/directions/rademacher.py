"""Signs by counter, +1 or -1 alike often: Rademacher's law, the same bits on every processor and every GPU.

FZOO (arXiv 2506.09034) and 1.5-SPSA perturb by them; here they are the entries of low-rank factors. The bits are those
of `engine.directions.philox`, with the same keys and counters; an entry takes one, 1 for +1: the entry i is the bit
i mod 64, from the least on, of the word i // 64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from engine.directions.philox import ByCounter


class Signs(ByCounter):
    """As `engine.directions.philox.Normals`, with signs instead."""

    at_a_counter = 256

    def numbers(self, words: np.ndarray[Any, np.dtype[np.uint64]], out: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        bits = np.unpackbits(words.astype("<u8", copy=False).view(np.uint8), bitorder="little")
        np.multiply(bits, np.float32(2), out=out)
        np.subtract(out, np.float32(1), out=out)

    def put_there(self) -> dict[str, torch.Tensor]:
        from engine.directions.kernels import SIGNED

        return self.read_by_kernels(SIGNED)

    def kernel(self, out: torch.Tensor, step: int, query: int, there: dict[str, torch.Tensor]) -> None:
        from engine.directions import kernels

        kernels.signs(out, **there, step=step, query=query)
