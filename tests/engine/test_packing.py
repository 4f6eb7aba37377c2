"""The layout of a packed forward pass: what is scored, where it is written, what it may read."""

from __future__ import annotations

import random

import pytest

from engine.packing import chunks, one_token_options, pack
from engine.task import Example


def example(prompt: int, *options: int) -> Example:
    """An example whose tokens are all different."""
    tokens = iter(range(1, 10_000))
    return Example(
        tuple(next(tokens) for _ in range(prompt)),
        tuple(tuple(next(tokens) for _ in range(length)) for length in options),
        0,
    )


def context_of_row(packed, row: int, block_size: int) -> list[int]:
    """The tokens that a row attends to, read back from the pages as attention would."""
    pages: dict[int, int] = {}
    for token, slot in zip(packed.token_ids, packed.slots, strict=True):
        assert slot not in pages, "two tokens share a slot"
        pages[slot] = token
    first = 0
    for query, table in zip(packed.query_lens, packed.block_tables, strict=True):
        if row < first + query:
            position = packed.positions[row]
            return [pages[table[p // block_size] * block_size + p % block_size] for p in range(position + 1)]
        first += query
    raise AssertionError("no such row")


@pytest.mark.parametrize("block_size", [4, 16])
@pytest.mark.parametrize("seed", range(5))
def test_every_option_token_is_predicted_from_exactly_what_comes_before_it(seed: int, block_size: int) -> None:
    draw = random.Random(seed)
    examples = [
        example(draw.randint(1, 40), *(draw.randint(1, 6) for _ in range(draw.randint(1, 4)))) for _ in range(6)
    ]
    packed = pack(examples, block_size)
    seen: dict[tuple[int, int], list[int]] = {}
    for row, target, owner in zip(packed.rows, packed.targets, packed.owners, strict=True):
        index, option = owner
        done = seen.setdefault(owner, [])
        expected = [*examples[index].prompt, *examples[index].options[option][: len(done)]]
        assert context_of_row(packed, row, block_size) == expected
        done.append(target)
    assert seen == {(i, o): list(option) for i, e in enumerate(examples) for o, option in enumerate(e.options)}


def test_the_prompt_of_one_token_options_is_scored_once_and_nothing_else() -> None:
    packed = pack([example(23, 1, 1, 1)], 16)
    assert len(packed.token_ids) == 23
    assert packed.query_lens == [23]
    assert packed.rows == [22, 22, 22]


def test_full_pages_of_a_prompt_are_shared_by_the_tails() -> None:
    packed = pack([example(35, 3, 3)], 16)
    # 35 + 2 tokens, then 3 of the partly filled page again and 2 of the other option.
    assert packed.query_lens == [37, 5]
    assert packed.seq_lens == [37, 37]
    assert packed.block_tables == [[0, 1, 2], [0, 1, 3]]


def test_chunks_keep_the_order_and_fit() -> None:
    examples = [example(n, 1, 1) for n in (10, 20, 30, 5, 5, 40)]
    parts = chunks(examples, max_tokens=40, max_blocks=100, max_sequences=100, block_size=16)
    assert [e for part in parts for e in part] == examples
    assert [len(part) for part in parts] == [2, 3, 1]
    assert chunks(examples, max_tokens=999, max_blocks=100, max_sequences=4, block_size=16) == [
        examples[i : i + 2] for i in (0, 2, 4)
    ]


def test_the_normaliser_cancels_only_between_options_of_one_token() -> None:
    assert one_token_options([example(5, 1, 1), example(3, 1, 1)])
    assert not one_token_options([example(5, 1, 1), example(3, 1, 2)])
    assert not one_token_options([example(5, 1)])  # language modelling: nothing to cancel against
