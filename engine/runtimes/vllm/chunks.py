"""How a batch is cut for packed passes: into chunks that fit one."""

from __future__ import annotations

from collections.abc import Sequence

from engine.runtimes.vllm.capacity import Capacity
from engine.runtimes.vllm.packing import chunks
from engine.tasks.example import Example


class Layouts:
    """Remembers the last two: a batch is asked for again, and so is the next."""

    def __init__(self, plan: Capacity, block: int) -> None:
        self._block = block
        # Of a pass; block 0 is vLLM's own.
        self._limits = {"max_tokens": plan.tokens, "max_blocks": plan.blocks - 1, "max_sequences": plan.sequences}
        self._known: list[tuple[tuple[tuple[Example, ...], int], list[list[Example]]]] = []

    def of(self, examples: Sequence[Example], signs: int) -> list[list[Example]]:
        """The batch in chunks that fit one pass each, at this many signs."""
        wanted = (tuple(examples), signs)
        for known, parts in self._known:
            if known == wanted:
                return parts
        limits = {name: limit // signs for name, limit in self._limits.items()}
        parts = chunks(examples, block_size=self._block, **limits)
        self._known = [*self._known[-1:], (wanted, parts)]
        return parts

    def share(self, blocks: int) -> float:
        """Which share of the KV space so many blocks are, 0..1."""
        return min(1.0, blocks / self._limits["max_blocks"])
