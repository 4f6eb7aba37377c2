"""What happens to examples that are longer than the model's context: refused, left out, or cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from engine.errors import UserError
from engine.tasks.example import Example


def too_long_for(
    max_length: int,
    lengths: Sequence[int],
    too_long: Literal["refuse", "truncate", "skip"],
    name: str,
    notes: list[str],
    cut: str,
) -> bool:
    """Whether some of the data, which messages call `name`, are longer than fit: noted, with how they are `cut`.

    Raises `UserError` where they are refused, or none is left.
    """
    over = sum(length > max_length for length in lengths)
    if not over:
        return False
    fact = f"{over:,} of {len(lengths):,} examples are longer than {max_length:,} tokens (longest {max(lengths):,})"
    if too_long == "refuse":
        raise UserError(f"{name}: {fact}; set task.too_long=truncate or task.too_long=skip")
    if too_long == "skip" and over == len(lengths):
        raise UserError(f"{name}: {fact}, none is left; set task.too_long=truncate")
    notes.append(f"{name}: {fact}; {'they are skipped' if too_long == 'skip' else cut}")
    return True


def fit(
    examples: list[Example],
    leading: int,
    max_length: int,
    too_long: Literal["refuse", "truncate", "skip"],
    name: str,
    notes: list[str],
    room: int,
) -> list[Example]:
    """Those that fit: all, or what `too_long` has of them, with prompts cut behind their `leading` special tokens.

    Raises `UserError` where longer ones are refused, or an option alone is too long.
    """
    lengths = [length_with(example, room) for example in examples]
    if not too_long_for(max_length, lengths, too_long, name, notes, "their prompts are cut from the left"):
        return examples
    if too_long == "skip":
        return [example for example, length in zip(examples, lengths, strict=True) if length <= max_length]
    return [
        _truncate(example, leading, max_length, name, room) if length > max_length else example
        for example, length in zip(examples, lengths, strict=True)
    ]


def length_with(example: Example, room: int) -> int:
    """Tokens of the longest sequence, with `room` for a text that is generated where there are answers to it."""
    return max(example.length, len(example.prompt) + room) if example.answers else example.length


def _truncate(example: Example, leading: int, max_length: int, name: str, room: int) -> Example:
    """Cut the prompt from the left, behind its special tokens."""
    behind = length_with(example, room) - len(example.prompt)
    left = max_length - behind - leading
    if left < 1:
        raise UserError(
            f"{name}: an option or target alone is {behind:,} tokens, more than fit into {max_length:,}; set "
            "task.too_long=skip"
        )
    return msgspec.structs.replace(example, prompt=example.prompt[:leading] + example.prompt[leading:][-left:])
