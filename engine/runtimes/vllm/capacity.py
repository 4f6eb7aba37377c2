"""How much one packed forward pass must hold, so that KV space and slots are sized to need; batches cut to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.runtimes.base import Needs
from engine.runtimes.vllm.packing import chunks
from engine.runtimes.vllm.padding import padding_room
from engine.tasks.example import Example

PROMPT_ROOM = 256  # tokens that a prompt typed by hand may have, with what goes on from it, where the data is shorter
_MAX_TOKENS = 8192  # of one forward pass, all signs; what is more is chunked
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM allows as max_lora_rank


@dataclass(frozen=True)
class Capacity:
    """What one forward pass must hold, so that KV space is sized to need."""

    longest: int  # tokens of a sequence
    signs: int  # probes
    tokens: int
    sequences: int
    blocks: int  # KV pages, vLLM's null block included
    pairs: bool = True  # whether signs come in twos


def plan_capacity(needs: Needs, block: int) -> Capacity:
    """What a step's batch takes at every sign of every query, or as much as is worth it."""
    longest = needs.longest + 1  # the public path asks for one token more
    pages = -(-longest // block)
    # Another option's tail: its own tokens, and at most a page that it does not share with the prompt.
    tail = needs.option_tokens - 1 + block if needs.option_tokens > 1 else 0

    def whole(options: int) -> tuple[int, int, int]:
        """Sequences, tokens and pages of an example of so many options."""
        tails = options - 1 if tail else 0
        return 1 + tails, longest + tails * tail, pages + tails * -(-tail // block)

    example_sequences, example_tokens, example_pages = whole(needs.step_options or needs.options)
    # More signs only while the whole batch fits a pass at each of them.
    pairs, at_once = needs.probing.sides == "two", _MAX_TOKENS // (needs.batch * example_tokens)
    signs = (
        2 * max(1, min(needs.probing.queries, at_once // 2))
        if pairs
        else (max(2, min(1 + needs.probing.queries, at_once)))
    )
    tokens = min(signs * needs.batch * example_tokens, max(_MAX_TOKENS, 2 * example_tokens))
    sequences = signs * needs.batch * example_sequences
    blocks = min(signs * needs.batch * example_pages, max(2 * example_pages, 2 * tokens // block + sequences))
    # An evaluation takes as many as fit, but one at least, at one sign.
    most = (max(pair) for pair in zip((sequences, tokens, blocks), whole(needs.options), strict=True))
    sequences, tokens, blocks = most
    return Capacity(longest, signs, tokens, sequences, 1 + blocks, pairs)


def with_padding(plan: Capacity, block: int) -> Capacity:
    """The same with room for the fillers of a recorded pass."""
    rooms = [
        [signs * more for more in padding_room(plan.tokens // signs, plan.sequences // signs, block)]
        # The self-check takes a pass of two, whatever a step takes.
        for signs in range(2, plan.signs + 1, 2 if plan.pairs else 1)
    ]
    tokens, blocks, sequences = (max(room) for room in zip(*rooms, strict=True))
    return replace(plan, tokens=plan.tokens + tokens, blocks=plan.blocks + blocks, sequences=plan.sequences + sequences)


def with_prompt(room: Capacity, context: int, block: int) -> Capacity:
    """The same with room for a prompt typed by hand, in a model of this context."""
    longest = max(room.longest, min(context, PROMPT_ROOM))
    blocks = max(room.blocks, 1 + -(-longest // block))
    return replace(room, longest=longest, tokens=max(room.tokens, longest), blocks=blocks)


def block_size(device: str) -> int:
    """Tokens of a KV page."""
    return 32 if device == "cpu" else 16


def adapter_rank(rank: int) -> int:
    """The rank of vLLM's own slots for directions of `rank`."""
    return next(allowed for allowed in _RANKS if allowed >= rank)


class Layouts:
    """A batch cut into chunks that fit a pass each; remembers two: a batch is asked for again, and so is the next."""

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
