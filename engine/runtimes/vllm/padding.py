"""Layouts of few shapes, for a runtime that records a pass of every shape."""

from __future__ import annotations

from collections.abc import Sequence

from engine.runtimes.vllm.packing import STEP, Packed, most_sequences
from engine.tasks.example import Example

_FINEST = 16  # tokens are rounded up to a multiple of this or more: few are added, and few shapes there are


def pad(packed: Packed, examples: Sequence[Example], longest: int) -> None:
    """Bring the layout of `examples` to one of few shapes, for runtimes that record a pass of every shape.

    Tokens, copies and rows are rounded up, sequences become as many as such examples can have, plus one,
    and all are said to be as long as `longest`. What is added is read by nothing.
    """
    added = sum(most_sequences(example) for example in examples) + 1 - len(packed.query_lens)
    step = _token_step(len(packed.token_ids))
    packed.padding = added + -(len(packed.token_ids) + added) % step
    # One filler takes most of the tokens; all of them write over each other, in the same pages.
    lengths = [packed.padding - added + 1] + [1] * (added - 1)
    pages = -(-max(lengths) // packed.block_size)
    table = list(range(packed.blocks, packed.blocks + pages))
    packed.blocks += pages
    for length in lengths:
        packed.token_ids += [0] * length
        packed.positions += range(length)
        packed.slots += [packed.block_size * table[0] + p for p in range(length)]  # the pages are neighbours
        packed.query_lens.append(length)
        packed.seq_lens.append(length)
        packed.block_tables.append(table)
    if packed.parts:
        packed.parts += [0] * packed.padding
    packed.copies += [(0, packed.slots[0])] * (-len(packed.copies) % STEP)
    packed.rows += [0] * (-len(packed.rows) % STEP)
    packed.longest = max(longest, STEP)


def padding_room(tokens: int, sequences: int, block_size: int) -> tuple[int, int, int]:
    """The most (tokens, blocks, sequences) that `pad` adds to a sign of at most so many tokens and sequences."""
    step = _token_step(tokens)
    return step + sequences, -(-step // block_size), 1


def _token_step(tokens: int) -> int:
    """A power of two: to a multiple of it so many tokens are rounded up."""
    return min(STEP, max(_FINEST, 1 << max(0, (tokens // 12).bit_length() - 1)))
