"""Lay out a batch of examples as one ragged forward pass, each prompt scored once.

An example with options o_1..o_k becomes a sequence of its prompt and o_1, and a tail for every other
option. A tail reads the prompt's full KV pages through its block table; the tokens of the last,
partly filled page are scored again, because a page belongs to one sequence. The last token of an
option never needs a forward: nothing is predicted from it. Options of one token need no tail at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.task import Example


@dataclass
class Packed:
    """The layout of one sign's probe; block 0 is the first block that the caller may use."""

    token_ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)  # where each token's keys and values are written
    query_lens: list[int] = field(default_factory=list)  # per sequence
    seq_lens: list[int] = field(default_factory=list)  # per sequence, shared pages included
    block_tables: list[list[int]] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)  # token rows that predict something
    targets: list[int] = field(default_factory=list)  # the token that each of `rows` predicts
    owners: list[tuple[int, int]] = field(default_factory=list)  # (example, option) of each of `rows`
    blocks: int = 0


def pack(examples: Sequence[Example], block_size: int) -> Packed:
    """Lay out `examples` for KV pages of `block_size` tokens."""
    packed = Packed()
    for index, example in enumerate(examples):
        prompt, first = example.prompt, example.options[0]
        pages = _add_sequence(packed, [*prompt, *first[:-1]], shared=[], block_size=block_size)
        last = len(packed.token_ids) - len(first[:-1]) - 1  # the prompt's last row
        for offset, token in enumerate(first):
            _add_row(packed, last + offset, token, index, 0)
        full_pages = len(prompt) // block_size
        redone = len(prompt) - full_pages * block_size
        for option_index, option in enumerate(example.options[1:], start=1):
            _add_row(packed, last, option[0], index, option_index)
            if len(option) == 1:
                continue
            tail = [*prompt[len(prompt) - redone :], *option[:-1]] if redone else list(option[:-1])
            _add_sequence(packed, tail, shared=pages[:full_pages], block_size=block_size)
            start = len(packed.token_ids) - len(option[:-1])
            for offset, token in enumerate(option[1:]):
                _add_row(packed, start + offset, token, index, option_index)
    return packed


def cost(example: Example, block_size: int) -> tuple[int, int]:
    """(tokens, blocks) that `example` takes in a layout of one sign."""
    packed = pack([example], block_size)
    return len(packed.token_ids), packed.blocks


def one_token_options(examples: Sequence[Example]) -> bool:
    """Whether only the logits of the options matter, because their normaliser cancels."""
    return all(len(e.options) > 1 and all(len(option) == 1 for option in e.options) for e in examples)


def chunks(
    examples: Sequence[Example], *, max_tokens: int, max_blocks: int, max_sequences: int, block_size: int
) -> list[list[Example]]:
    """Split a batch, in order, so that each part fits one forward pass of one sign."""
    parts: list[list[Example]] = []
    tokens = blocks = sequences = 0
    for example in examples:
        more_tokens, more_blocks = cost(example, block_size)
        fits = (
            tokens + more_tokens <= max_tokens
            and blocks + more_blocks <= max_blocks
            and sequences + len(example.options) <= max_sequences
        )
        if not parts or not fits:
            parts.append([])
            tokens = blocks = sequences = 0
        parts[-1].append(example)
        tokens, blocks, sequences = tokens + more_tokens, blocks + more_blocks, sequences + len(example.options)
    return parts


def _add_sequence(packed: Packed, tokens: list[int], *, shared: list[int], block_size: int) -> list[int]:
    """Append a sequence that continues the `shared` pages; returns its block table."""
    start = len(shared) * block_size
    own = -(-len(tokens) // block_size)
    table = [*shared, *range(packed.blocks, packed.blocks + own)]
    packed.blocks += own
    positions = range(start, start + len(tokens))
    packed.token_ids += tokens
    packed.positions += positions
    packed.slots += [table[p // block_size] * block_size + p % block_size for p in positions]
    packed.query_lens.append(len(tokens))
    packed.seq_lens.append(start + len(tokens))
    packed.block_tables.append(table)
    return table


def _add_row(packed: Packed, row: int, target: int, example: int, option: int) -> None:
    packed.rows.append(row)
    packed.targets.append(target)
    packed.owners.append((example, option))
