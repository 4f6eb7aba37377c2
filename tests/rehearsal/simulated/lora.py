"""vLLM's own LoRA kernels by their definition: Triton's interpreter takes minutes for them, and errs in bfloat16.

Only the public API uses them, against which packed passes are checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch


def shrink(
    inputs: torch.Tensor, weights: list[torch.Tensor], output: torch.Tensor, mapping: torch.Tensor, *others: Any
) -> None:
    """output (slices, tokens, rank) <- inputs (tokens, in) A^T scaling, A being that of the token's adapter."""
    no_adapter, scaling = others[4], others[6]
    if no_adapter.item():
        return  # nothing else is filled in then
    assert inputs.dtype == weights[0].dtype and inputs.dtype in (torch.float16, torch.bfloat16), inputs.dtype
    output.zero_()
    for adapter, tokens in _by_adapter(mapping):
        for piece, stacked in zip(output, weights, strict=True):
            product = inputs[tokens].float() @ stacked[adapter].flatten(0, -2).float().T
            piece[tokens] = (product * scaling).to(output.dtype)


def expand(
    inputs: torch.Tensor,
    weights: list[torch.Tensor],
    output: torch.Tensor,
    mapping: torch.Tensor,
    *others: Any,
    offset_start: int = 0,
    add_inputs: bool = False,
) -> None:
    """output (tokens, out of all slices) <- or += inputs (slices, tokens, rank) B^T, slice beside slice."""
    offset, add = others[6:] if len(others) == 8 else (offset_start, add_inputs)
    if others[4].item():
        return
    for piece, stacked in zip(inputs, weights, strict=True):
        rows = stacked.shape[-2]
        for adapter, tokens in _by_adapter(mapping):
            product = piece[tokens].to(stacked.dtype).float() @ stacked[adapter].flatten(0, -2).float().T
            before = output[tokens, offset : offset + rows].float() if add else 0
            output[tokens, offset : offset + rows] = (before + product).to(output.dtype)
        offset += rows


def _by_adapter(mapping: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Every adapter that is asked for, and its tokens; -1 is none."""
    for adapter in mapping.unique().tolist():
        if adapter >= 0:
            yield adapter, (mapping == adapter).nonzero().flatten()


REFERENCES: dict[str, Callable[..., None]] = {"lora_shrink": shrink, "lora_expand": expand}
