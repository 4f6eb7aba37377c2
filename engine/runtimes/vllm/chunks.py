"""How examples are laid out for packed passes: in chunks that fit, as they cross to the worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.runtimes.vllm.capacity import Capacity
from engine.runtimes.vllm.packing import chunks
from engine.tasks.example import Example

PackedExample = tuple[list[int], list[list[int]], int]
"""An example as it crosses: prompt, options, label."""


class Layouts:
    """Remembers the last two: a batch is asked for again, and so is the next."""

    def __init__(self, plan: Capacity, block: int) -> None:
        self._block = block
        # Of a pass; block 0 is vLLM's own.
        self._limits = {"max_tokens": plan.tokens, "max_blocks": plan.blocks - 1, "max_sequences": plan.sequences}
        self._known: list[tuple[Any, list[list[PackedExample]]]] = []

    def of(self, examples: Sequence[Example], signs: int) -> list[list[PackedExample]]:
        """The batch in chunks that fit one pass each, at this many signs."""
        wanted = (tuple(examples), signs)
        for known, rows in self._known:
            if known == wanted:
                return rows
        rows = self._lay_out(examples, signs)
        self._known = [*self._known[-1:], (wanted, rows)]
        return rows

    def share(self, blocks: int) -> float:
        """Which share of the KV space so many blocks are, 0..1."""
        return min(1.0, blocks / self._limits["max_blocks"])

    def _lay_out(self, examples: Sequence[Example], signs: int) -> list[list[PackedExample]]:
        limits = {name: limit // signs for name, limit in self._limits.items()}
        return [
            [(list(e.prompt), [list(o) for o in e.options], e.label) for e in part]
            for part in chunks(examples, block_size=self._block, **limits)
        ]
