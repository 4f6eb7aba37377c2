"""Batches of random tokens whose lengths are those of a real task."""

from __future__ import annotations

import random

from engine.tasks.example import Example

# Prompt lengths in tokens at the 32 evenly spaced quantiles of the 6,920 sentences of SST-2's training
# split: BOS, the sentence, " It was", by a byte-pair tokenizer of 8,192 tokens. Mean 28.5.
SST2_LENGTHS = (
    8, 10, 12, 13, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 38, 39, 41, 43, 45,
    48, 52, 59,
)  # fmt: skip
_BOS = 2


def examples(
    count: int, *, vocabulary: int, options: int, option_tokens: int, length: int | None, seed: int
) -> list[Example]:
    """`count` examples; every prompt has `length` tokens, or the lengths follow SST-2's distribution.

    All begin with one BOS token, as real ones do, and have nothing else in common.
    """
    draw = random.Random(seed)

    def tokens(number: int) -> tuple[int, ...]:
        return tuple(draw.randrange(3, vocabulary) for _ in range(number))

    lengths = [length or _quantile(index, count) for index in range(count)]
    draw.shuffle(lengths)
    verbalizers = tuple((3 + number, *tokens(option_tokens - 1)) for number in range(options))
    return [Example((_BOS, *tokens(n - 1)), verbalizers, draw.randrange(options)) for n in lengths]


def _quantile(index: int, count: int) -> int:
    """The length at the `index`th of `count` evenly spaced quantiles."""
    place = min(max((index + 0.5) * len(SST2_LENGTHS) / count - 0.5, 0), len(SST2_LENGTHS) - 1)
    below = min(int(place), len(SST2_LENGTHS) - 2)
    low, high = SST2_LENGTHS[below : below + 2]
    return round(low + (place - below) * (high - low))
