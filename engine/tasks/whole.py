"""Texts that are learned as a whole: no prompt but the token that every text begins with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from engine.errors import UserError
from engine.tasks.example import Example
from engine.tasks.tokenize import Encoder, Raw, too_long_for

_CHUNK = 512  # texts that are handed to the tokenizer at once


def encode_whole(
    raw: Sequence[Raw],
    encoder: Encoder,
    *,
    max_length: int,
    too_long: Literal["refuse", "truncate", "skip"],
    name: str,
    notes: list[str],
    end: int | None,
    report: Callable[[float], None],
) -> list[Example]:
    """Every text as an example: all of its tokens are learned, but for the first where there is no BOS token.

    What is too long is cut at its end. Raises `UserError` for a text of one token.
    """
    examples: list[Example] = []
    for start in range(0, len(raw), _CHUNK):
        chunk = raw[start : start + _CHUNK]
        report(start / len(raw))
        for item, ids in zip(chunk, encoder([item.options[0] for item in chunk]), strict=True):
            first = max(1, encoder.leading)
            ids = [*ids, end] if end is not None and ids[-1:] != [end] else ids
            if len(ids) <= first:
                raise UserError(f"{item.where}: the text is a single token, nothing is left to learn; remove the row")
            examples.append(Example(tuple(ids[:first]), (tuple(ids[first:]),), 0))
    report(1.0)
    lengths = [example.length for example in examples]
    if not too_long_for(max_length, lengths, too_long, name, notes, "they are cut at their end"):
        return examples
    if too_long == "skip":
        return [example for example in examples if example.length <= max_length]
    return [cut_at_end(example, max_length) for example in examples]


def cut_at_end(example: Example, max_length: int) -> Example:
    """The example with the tokens that fit alone."""
    kept = max_length - len(example.prompt)
    return Example(example.prompt, (example.options[0][:kept],), 0)
