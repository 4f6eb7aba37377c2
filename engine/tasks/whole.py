"""Texts without a prompt: all of a text is learned, or of a conversation what the assistant says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec

from engine.errors import UserError
from engine.tasks.example import Example
from engine.tasks.fitting import too_long_for
from engine.tasks.template import Filled
from engine.tasks.tokenize import Encoder, Raw

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
    """Every text as an example: what comes before what is learned is its prompt, at least the first token.

    What is too long is cut at its end. Raises `UserError` for a text of which nothing is left to learn.
    """
    examples: list[Example] = []
    for start in range(0, len(raw), _CHUNK):
        chunk = raw[start : start + _CHUNK]
        report(start / len(raw))
        texts = [item.options[0] for item in chunk]
        for item, ids in zip(chunk, encoder(texts), strict=True):
            examples.append(_conversation(item, ids, encoder) if item.learned else _text(item, ids, encoder, end))
    report(1.0)
    lengths = [example.length for example in examples]
    if not too_long_for(max_length, lengths, too_long, name, notes, "they are cut at their end"):
        return examples
    if too_long == "skip":
        return [example for example in examples if example.length <= max_length]
    return [_cut(example, max_length, item.where) for example, item in zip(examples, raw, strict=True)]


def _text(item: Raw, ids: list[int], encoder: Encoder, end: int | None) -> Example:
    first = max(1, encoder.leading)
    ids = [*ids, end] if end is not None and ids[-1:] != [end] else ids
    if len(ids) <= first:
        raise UserError(f"{item.where}: the text is a single token, nothing is left to learn; remove the row")
    return Example(tuple(ids[:first]), (tuple(ids[first:]),), 0)


def _conversation(item: Raw, ids: list[int], encoder: Encoder) -> Example:
    """The tokens of a conversation up to the last that is learned, and which of them are.

    They begin as the chat template does: with a BOS token if it writes one.
    """
    text = item.options[0]
    bos = encoder.tokenizer.bos_token
    skipped = 0 if bos and text.text.startswith(bos) else encoder.leading
    ids = ids[skipped:]
    borders = [border for span in item.learned for border in span]
    at = [_token_at(ids, known[skipped:]) for known in encoder([_begin(text, border) for border in borders])]
    spans = [(max(1, begin), end) for begin, end in zip(at[::2], at[1::2], strict=True) if max(1, begin) < end]
    if not spans:
        raise UserError(f"{item.where}: what the assistant says is no token; mend or remove the row")
    first, last = spans[0][0], spans[-1][1]
    counted = tuple((begin - first, end - first) for begin, end in spans)
    return Example(tuple(ids[:first]), (tuple(ids[first:last]),), 0, counted=counted if len(counted) > 1 else ())


def _begin(text: Filled, border: int) -> Filled:
    spans = ((begin, min(end, border)) for begin, end in text.data)
    return Filled(text.text[:border], tuple(span for span in spans if span[0] < span[1]))


def _token_at(ids: Sequence[int], known: Sequence[int]) -> int:
    """How many of the tokens belong to what comes before a border: those that are the same without the rest."""
    both = zip(ids, known, strict=False)
    return next((at for at, (one, other) in enumerate(both) if one != other), min(len(ids), len(known)))


def _cut(example: Example, max_length: int, where: str) -> Example:
    """The example with the tokens that fit alone."""
    kept = max_length - len(example.prompt)
    counted = tuple(_clipped(example.counted, kept))
    if kept < 1 or (example.counted and not counted):
        raise UserError(f"{where}: no token that is learned is among the first {max_length:,}; set task.too_long=skip")
    return msgspec.structs.replace(example, options=(example.options[0][:kept],), counted=counted)


def _clipped(spans: Sequence[tuple[int, int]], kept: int) -> Iterator[tuple[int, int]]:
    for begin, end in spans:
        if begin < kept:
            yield begin, min(end, kept)
