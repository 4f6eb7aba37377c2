"""LoRA as one pair of GEMMs per contiguous segment of tokens, in place of vLLM's per-token kernel.

A probe has two segments, all plus tokens and all minus tokens. vLLM's CPU kernel gathers A and B for
every token, and its Triton kernels take half precision only; two segments need neither. Outside a
probe, vLLM's own kernel runs as ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

Segment = tuple[int, int, int]
"""First token, one past the last token, slot."""


class SegmentedLora:
    """Stands in for `add_lora_linear` of vLLM's LoRA kernels while a probe is scored."""

    def __init__(self, manager: Any, rank: int) -> None:
        self._rank = rank
        self._segments: list[Segment] = []
        for wrapper in {id(w): w for w in manager.punica_wrapper_mapping.values()}.values():
            wrapper.add_lora_linear = self._standing_in_for(wrapper.add_lora_linear)

    @contextmanager
    def on(self, segments: list[Segment]) -> Iterator[None]:
        """Within this, every LoRA layer applies each segment's slot. The slots share A."""
        self._segments = segments
        try:
            yield
        finally:
            self._segments = []

    def _standing_in_for(self, original: Any) -> Any:
        def add_lora_linear(
            y: torch.Tensor,
            x: torch.Tensor,
            lora_a_stacked: tuple[torch.Tensor, ...],
            lora_b_stacked: tuple[torch.Tensor, ...],
            scale: float,
            output_slices: tuple[int, ...],
            **others: Any,
        ) -> torch.Tensor | None:
            if not self._segments:
                return original(y, x, lora_a_stacked, lora_b_stacked, scale, output_slices, **others)
            self._apply(y.view(-1, y.shape[-1]), x.view(-1, x.shape[-1]), lora_a_stacked, lora_b_stacked, output_slices)
            return y

        return add_lora_linear

    def _apply(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        a_stacked: tuple[torch.Tensor, ...],
        b_stacked: tuple[torch.Tensor, ...],
        output_slices: tuple[int, ...],
    ) -> None:
        """y[segment] += x[segment] A^T B^T for every slice and segment; A is common to the slots."""
        offset = 0
        for a, b, width in zip(a_stacked, b_stacked, output_slices, strict=True):
            shrunk = x @ a[self._segments[0][2], 0, : self._rank].T
            for start, end, slot in self._segments:
                y[start:end, offset : offset + width].addmm_(shrunk[start:end], b[slot, 0, :, : self._rank].T)
            offset += width
