"""Lay out a batch as one ragged forward pass in which no token is scored twice.

Sequences (prompt and option) that begin alike share what they have in common: the options of an
example their prompt, repeated prompts each other, a batch its common instruction. The first sequence
is scored whole, minus its last token, from which nothing is predicted; each later one begins as a
tail where it departs from those before it.

A tail reads the full KV pages of what it shares through its block table. The page in which it departs
belongs to it alone: the keys and values of the shared tokens in it are written a second time (a
copy), or, on a runtime that cannot do that, these few tokens are scored again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.tasks.example import Example

STEP = 64
"""To a multiple of it rows, picks and copies of padded layouts are rounded up."""

_WORTH_COPYING = 20  # copies cost a few kernels a layer: worth it where they save one of so many tokens


class Pick(NamedTuple):
    """A token whose probability is wanted."""

    row: int  # index into `Packed.rows`
    target: int  # the token that this row predicts
    example: int
    option: int


@dataclass
class Packed:
    """The layout of one sign; block 0 is the first block that the caller may use."""

    block_size: int
    token_ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)  # where each token's keys and values are written
    copies: list[tuple[int, int]] = field(default_factory=list)  # (token, slot): written there as well
    query_lens: list[int] = field(default_factory=list)  # per sequence
    seq_lens: list[int] = field(default_factory=list)  # per sequence, shared pages included
    block_tables: list[list[int]] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)  # tokens that predict something, each once
    picks: list[Pick] = field(default_factory=list)  # by row
    parts: list[int] = field(default_factory=list)  # of the batch, which each token is of; none: of one
    blocks: int = 0
    padding: int = 0  # tokens at the end that mean nothing
    longest: int = 0  # at least as long as every sequence

    def filler_picks(self) -> list[Pick]:
        """Picks that nobody wants, which bring a padded layout's to a round number."""
        return [Pick(0, 0, 0, 0)] * (-len(self.picks) % STEP if self.padding else 0)


@dataclass
class _Node:
    """A token in the tree of everything that the batch begins with."""

    token: int  # its index in the pass; -1 for the root
    table: list[int]  # pages of the sequence that scored it
    children: dict[int, _Node] = field(default_factory=dict)


def pack(examples: Sequence[Example], block_size: int, *, copies: bool, parts: Sequence[int] = ()) -> Packed:
    """Lay out `examples` for KV pages of `block_size` tokens; `copies` says whether the runtime can copy.

    `parts`: of the batch, which each example is of, where they are scored at weights of their own: what examples of
    other parts begin alike is not shared.
    """
    packed = Packed(block_size)
    roots: dict[int, _Node] = {}
    row_of: dict[int, int] = {}
    for index, example in enumerate(examples):
        root = roots.setdefault(parts[index] if parts else 0, _Node(-1, []))
        for option_index, option in enumerate(example.options):
            tokens = _add_sequence(packed, root, [*example.prompt, *option[:-1]], copies)
            if parts:
                packed.parts += [parts[index]] * (len(packed.token_ids) - len(packed.parts))
            before = tokens[len(example.prompt) - 1 :]
            for at in example.scored(option_index):
                row = row_of.setdefault(before[at], len(row_of))
                packed.picks.append(Pick(row, option[at], index, option_index))
    packed.rows = list(row_of)
    packed.picks.sort()
    packed.longest = max(packed.seq_lens)
    return packed


def pack_for_launches(examples: Sequence[Example], block_size: int, parts: Sequence[int] = ()) -> Packed:
    """The layout for a runtime that pays for every kernel: pages are copied only where that saves enough tokens."""
    packed = pack(examples, block_size, copies=True, parts=parts)
    if 0 < len(packed.copies) * _WORTH_COPYING < len(packed.token_ids):
        return pack(examples, block_size, copies=False, parts=parts)
    return packed


def cost(example: Example, block_size: int) -> tuple[int, int]:
    """(tokens, blocks) that `example` takes at most in a layout of one sign."""
    packed = pack([example], block_size, copies=False)
    return len(packed.token_ids), packed.blocks


def most_sequences(example: Example) -> int:
    """Sequences that an example has at most: one, and a tail for every other option of several tokens."""
    return max(1, sum(len(option) > 1 for option in example.options) + (len(example.options[0]) == 1))


def one_token_options(examples: Sequence[Example]) -> bool:
    """Whether only the logits of the options matter, because their normaliser cancels."""
    return all(len(e.options) > 1 and not e.likely and all(len(option) == 1 for option in e.options) for e in examples)


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
            and sequences + most_sequences(example) <= max_sequences
        )
        if not parts or not fits:
            parts.append([])
            tokens = blocks = sequences = 0
        parts[-1].append(example)
        tokens, blocks, sequences = tokens + more_tokens, blocks + more_blocks, sequences + most_sequences(example)
    return parts


def _add_sequence(packed: Packed, root: _Node, ids: Sequence[int], copies: bool) -> list[int]:
    """Add what is new of a sequence; returns the index of every token of it, the shared ones included."""
    path = [root]
    while len(path) <= len(ids) and (child := path[-1].children.get(ids[len(path) - 1])):
        path.append(child)
    shared = [node.token for node in path[1:]]
    if len(shared) == len(ids):
        return shared
    size = packed.block_size
    full = len(shared) // size
    start = len(shared) if copies else full * size
    pages = range(packed.blocks, packed.blocks - (-len(ids) // size) - full)
    table = [*path[-1].table[:full], *pages]
    packed.blocks += len(pages)
    packed.copies += [(shared[p], table[p // size] * size + p % size) for p in range(full * size, start)]
    first = len(packed.token_ids)
    positions = range(start, len(ids))
    packed.token_ids += ids[start:]
    packed.positions += positions
    packed.slots += [table[p // size] * size + p % size for p in positions]
    packed.query_lens.append(len(positions))
    packed.seq_lens.append(len(ids))
    packed.block_tables.append(table)
    tokens = [*shared[:start], *range(first, first + len(positions))]
    node = path[-1]
    for position in range(len(shared), len(ids)):
        node.children[ids[position]] = node = _Node(tokens[position], table)
    return tokens
