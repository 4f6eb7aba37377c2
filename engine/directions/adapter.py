"""The factors of adapters as a checkpoint holds them: A, (rank, cols), and B, (rows, rank), of every matrix, float32.

y = W x + (alpha / r) B A x, with the names that adapters have elsewhere. The scale is the method's, and not in them.
"""

from __future__ import annotations

from typing import Any

import torch

from engine.directions.learned import Learned
from engine.directions.low_rank import views


def tensors(learned: Learned) -> dict[str, torch.Tensor]:
    """The factors as they are, by name."""
    found: dict[str, torch.Tensor] = {}
    for (name_a, a), (name_b, b) in _factors(learned):
        found |= {name_a: a.T.contiguous(), name_b: b}
    return found


def load(learned: Learned, file: Any) -> None:
    """Take the factors from an open safetensors file."""
    for (name_a, a), (name_b, b) in _factors(learned):
        a.copy_(file.get_tensor(name_a).T)
        b.copy_(file.get_tensor(name_b))
    learned.changed()


def _factors(learned: Learned) -> list[tuple[tuple[str, torch.Tensor], tuple[str, torch.Tensor]]]:
    """A^T and B of every matrix with their names, as views of what is learned."""
    assert learned.a is not None
    matrices = [state.matrix for state in learned.states]
    stems = [matrix.name.removesuffix(".weight") for matrix in matrices]
    return [
        ((f"{stem}.lora_A.weight", a), (f"{stem}.lora_B.weight", state.learned))
        for stem, a, state in zip(stems, views(learned.a, matrices, "cols"), learned.states, strict=True)
    ]
