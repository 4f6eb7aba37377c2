"""The layout of a packed forward pass: what is scored, where it is written, what it may read."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from engine.estimators.probing import Probing
from engine.runtimes.base import Needs
from engine.runtimes.vllm.capacity import Layouts, plan_capacity, with_padding
from engine.runtimes.vllm.packing import Packed, chunks, one_token_options, pack, pack_for_launches
from engine.runtimes.vllm.padding import pad, padding_room
from engine.tasks.example import Example


def example(prompt: int, *options: int, first: int = 1) -> Example:
    """An example whose tokens are all different, from `first` on."""
    tokens = iter(range(first, first + 10_000))
    return Example(
        tuple(next(tokens) for _ in range(prompt)),
        tuple(tuple(next(tokens) for _ in range(length)) for length in options),
        0,
    )


def context_of(packed: Packed, token: int) -> list[int]:
    """The tokens that a token attends to, read back from the pages as attention would."""
    size = packed.block_size
    pages: dict[int, int] = {}
    written = [*zip(packed.token_ids, packed.slots, strict=True)]
    written += [(packed.token_ids[copied], slot) for copied, slot in packed.copies]
    for content, slot in written:
        assert slot not in pages, "two tokens share a slot"
        pages[slot] = content
    assert all(slot < packed.blocks * size for slot in pages)
    first = 0
    for query, length, table in zip(packed.query_lens, packed.seq_lens, packed.block_tables, strict=True):
        if token < first + query:
            position = length - query + (token - first)
            assert packed.positions[token] == position
            return [pages[table[p // size] * size + p % size] for p in range(position + 1)]
        first += query
    raise AssertionError("no such token")


def alike(draw: random.Random, count: int) -> list[Example]:
    """Examples of a small vocabulary and few instructions, so that prompts and options begin alike."""

    def words(most: int, least: int = 1) -> tuple[int, ...]:
        return tuple(draw.randint(1, 3) for _ in range(draw.randint(least, most)))

    openings = [words(30, 0) for _ in range(2)]
    return [
        Example(draw.choice(openings) + words(12), tuple(words(5) for _ in range(draw.randint(1, 4))), 0)
        for _ in range(count)
    ]


@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize("block_size", [4, 16])
@pytest.mark.parametrize("seed", range(5))
def test_every_option_token_is_predicted_from_exactly_what_comes_before_it(
    seed: int, block_size: int, copies: bool
) -> None:
    draw = random.Random(seed)
    examples = alike(draw, 8)
    examples += [example(draw.randint(1, 40), *(draw.randint(1, 6) for _ in range(3)), first=100)]
    packed = pack(examples, block_size, copies=copies)
    assert len(set(packed.rows)) == len(packed.rows)
    contexts = {}
    for pick in packed.picks:
        context = (pick.example, pick.option, tuple(context_of(packed, packed.rows[pick.row])))
        assert context not in contexts
        contexts[context] = pick.target
    expected = {
        (index, number, (*e.prompt, *option[:done])): option[done]
        for index, e in enumerate(examples)
        for number, option in enumerate(e.options)
        for done in range(len(option))
    }
    assert contexts == expected


@pytest.mark.parametrize("seed", range(5))
def test_where_keys_can_be_copied_no_beginning_is_scored_twice(seed: int) -> None:
    examples = alike(random.Random(seed), 10)
    packed = pack(examples, 8, copies=True)
    sequences = [(*e.prompt, *option[:-1]) for e in examples for option in e.options]
    beginnings = {sequence[:end] for sequence in sequences for end in range(1, len(sequence) + 1)}
    assert len(packed.token_ids) == len(beginnings)


def test_the_prompt_of_one_token_options_is_scored_once_and_nothing_else() -> None:
    packed = pack([example(23, 1, 1, 1)], 16, copies=True)
    assert len(packed.token_ids) == 23
    assert packed.query_lens == [23]
    assert packed.rows == [22]


def test_a_repeated_prompt_is_scored_once_whatever_its_targets() -> None:
    prompt = tuple(range(1, 24))
    targets = [Example(prompt, ((30, 31 + n, 50),), 0) for n in range(4)]
    assert len(pack(targets, 16, copies=True).token_ids) == 23 + 1 + 4
    # Without copies, the 7 tokens of the last, partly filled page and the target's first are scored again.
    assert len(pack(targets, 16, copies=False).token_ids) == 23 + 1 + 4 + 3 * (7 + 1)


def test_longer_options_share_the_full_pages_of_their_prompt() -> None:
    packed = pack([example(40, 1, 3)], 16, copies=False)
    assert packed.block_tables[1][:2] == packed.block_tables[0][:2]
    assert len(packed.token_ids) == 40 + 8 + 2  # the partly filled page is scored again
    copied = pack([example(40, 1, 3)], 16, copies=True)
    assert copied.block_tables == packed.block_tables
    assert len(copied.token_ids) == 40 + 2


def test_chunks_keep_the_order_and_fit() -> None:
    examples = [example(n, 1, 1) for n in (10, 20, 30, 5, 5, 40)]
    parts = chunks(examples, max_tokens=40, max_blocks=100, max_sequences=100, block_size=16)
    assert [e for part in parts for e in part] == examples
    assert [len(part) for part in parts] == [2, 3, 1]
    assert chunks(examples, max_tokens=999, max_blocks=100, max_sequences=2, block_size=16) == [
        examples[i : i + 2] for i in (0, 2, 4)
    ]


def test_the_normaliser_cancels_only_between_options_of_one_token() -> None:
    assert one_token_options([example(5, 1, 1), example(3, 1, 1)])
    assert not one_token_options([example(5, 1, 1), example(3, 1, 2)])
    assert not one_token_options([example(5, 1)])  # language modelling: nothing to cancel against


@pytest.mark.parametrize("seed", range(5))
def test_padded_layouts_have_few_shapes_and_say_the_same(seed: int) -> None:
    examples = alike(random.Random(seed), 8)
    plain, padded = (pack(examples, 16, copies=True) for _ in range(2))
    pad(padded, examples, longest=70)
    assert len(padded.token_ids) % 16 == 0
    for sizes in (padded.copies, padded.rows):
        assert len(sizes) % 64 == 0
    assert (len(padded.picks) + len(padded.filler_picks())) % 64 == 0
    assert len(padded.token_ids) - padded.padding == len(plain.token_ids)
    assert sum(padded.query_lens) == len(padded.token_ids)
    tokens, blocks, _ = padding_room(len(plain.token_ids), sum(len(e.options) for e in examples), 16)
    assert padded.padding <= tokens and padded.blocks - plain.blocks <= blocks
    assert padded.picks == plain.picks and padded.rows[: len(plain.rows)] == plain.rows
    assert max(padded.seq_lens) <= padded.longest == 70
    assert max(p for table in padded.block_tables for p in table) < padded.blocks
    assert set(padded.copies[len(plain.copies) :]) <= {(0, padded.slots[0])}  # writes what is there
    real = set(plain.slots) | {slot for _, slot in plain.copies}
    assert not real & set(padded.slots[len(plain.slots) :])


def test_a_batch_of_any_size_is_padded_by_a_twelfth_at_most() -> None:
    for count in (16, 40, 100):
        plain, padded = (pack([example(24, 1, 1, first=100 * n) for n in range(count)], 16, copies=True) for _ in "ab")
        pad(padded, [example(24, 1, 1)] * count, longest=30)
        assert padded.padding < len(plain.token_ids) / 12 + 2
        assert not padded.copies


def test_pages_are_copied_where_that_saves_more_than_the_copies_cost() -> None:
    beginning = tuple(range(3, 24))
    alike = [Example((*beginning, 100 + n, 200 + n), ((5,), (6,)), 0) for n in range(6)]
    assert pack_for_launches(alike, 16) == pack(alike, 16, copies=True)  # 5 of 23 tokens each
    only_bos = [Example((2, *range(100 * n, 100 * n + 30)), ((5,), (6,)), 0) for n in range(1, 7)]
    assert pack(only_bos, 16, copies=True).copies
    assert pack_for_launches(only_bos, 16) == pack(only_bos, 16, copies=False)
    assert not pack_for_launches(only_bos, 16).copies


@pytest.mark.parametrize("queries", [1, 4])
@pytest.mark.parametrize("option_tokens", [1, 5])
def test_the_planned_capacity_holds_a_whole_batch_of_the_longest_examples(queries: int, option_tokens: int) -> None:
    needs = Needs(
        batch=8, longest=40 + option_tokens, options=3, option_tokens=option_tokens, probing=Probing(queries=queries)
    )
    plan = plan_capacity(needs, 16)
    assert plan.signs == 2 * queries
    batch = [example(40, *[option_tokens] * 3, first=1000 * n) for n in range(1, 9)]
    limits = {"max_tokens": plan.tokens, "max_blocks": plan.blocks - 1, "max_sequences": plan.sequences}
    parts = chunks(batch, block_size=16, **{name: limit // plan.signs for name, limit in limits.items()})
    assert len(parts) == 1
    for copies in (True, False):
        packed = pack(batch, 16, copies=copies)
        assert len(packed.token_ids) * plan.signs <= plan.tokens
        assert packed.blocks * plan.signs <= plan.blocks - 1
        assert len(packed.query_lens) * plan.signs <= plan.sequences


def test_options_that_only_an_evaluation_scores_take_no_room_for_every_example_of_a_step() -> None:
    """As of a multiple choice, of which a step scores the right option alone."""
    many = Needs(batch=16, longest=200, options=40, option_tokens=30)
    all_alike, needed = plan_capacity(many, 16), plan_capacity(replace(many, step_options=1), 16)
    assert needed.sequences == 40 < all_alike.sequences and needed.blocks < all_alike.blocks
    evaluated, trained = example(170, *[30] * 40), [example(170, 30, first=1000 * n) for n in range(1, 17)]
    assert Layouts(needed, 16).of([evaluated], 1) == [[evaluated]]
    packed = pack([evaluated], 16, copies=False)
    assert len(packed.token_ids) <= needed.tokens and packed.blocks <= needed.blocks - 1
    assert len(packed.query_lens) <= needed.sequences
    assert len(Layouts(needed, 16).of(trained, 2)) == 1


@pytest.mark.parametrize("queries", [1, 2, 3, 5])
@pytest.mark.parametrize("longest", [30, 300])
def test_padded_passes_of_two_signs_have_room_whatever_a_step_takes(queries: int, longest: int) -> None:
    """As the self-check takes them, with more examples than a step of few has."""
    for batch in (1, 2, 3):
        plan = plan_capacity(Needs(batch, longest, options=2, option_tokens=1, probing=Probing(queries=queries)), 16)
        room = with_padding(plan, 16)
        examples = [example(longest - 1, 1, 1, first=1000 * n) for n in range(1, 5)]
        for part in Layouts(plan, 16).of(examples, 2):
            packed = pack_for_launches(part, 16)
            pad(packed, part, plan.longest)
            assert 2 * len(packed.token_ids) <= room.tokens
            assert 2 * packed.blocks <= room.blocks - 1
            assert 2 * len(packed.query_lens) <= room.sequences


def test_more_than_a_pass_is_worth_is_chunked() -> None:
    plan = plan_capacity(Needs(batch=64, longest=500, options=2, option_tokens=1, probing=Probing(queries=8)), 16)
    assert (plan.signs, plan.tokens) == (2, 8192)
