"""From prompts and options to token ids, and what happens to those that are too long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from engine.errors import UserError
from engine.tasks.example import Example

_CHUNK = 512  # examples that are handed to the tokenizer at once


@dataclass(frozen=True)
class Raw:
    """An example before it is tokenised."""

    where: str  # file and row, for messages
    prompt: str
    options: list[str]
    label: int


class Encoder:
    """A tokenizer with the special tokens that belong at the start, but none at the end.

    With `bos`, a sequence begins with the tokenizer's BOS token even where the tokenizer leaves that
    to its caller: models are trained on documents that begin with it (OPT's with `</s>`).
    """

    def __init__(self, tokenizer: Any, *, bos: bool = True) -> None:
        self._tokenizer = tokenizer
        bare = tokenizer("a", add_special_tokens=False)["input_ids"]
        full = tokenizer("a")["input_ids"]
        extra = len(full) - len(bare)
        #: How many special tokens come first.
        self.leading = next((n for n in range(extra + 1) if full[n : n + len(bare)] == bare), extra)
        self._trailing = extra - self.leading
        self._prefix = [tokenizer.bos_token_id] if bos and tokenizer.bos_token_id is not None else []
        if self._prefix and self.leading and full[0] == self._prefix[0]:
            self._prefix = []
        self.leading += len(self._prefix)

    def __call__(self, texts: list[str]) -> list[list[int]]:
        """The ids of every text."""
        if not texts:
            return []
        encoded = self._tokenizer(texts)["input_ids"]
        return [[*self._prefix, *ids[: len(ids) - self._trailing]] for ids in encoded]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these ids, for people: special tokens are left out."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


def encode(
    raw: Sequence[Raw],
    encoder: Encoder,
    *,
    max_length: int,
    too_long: Literal["refuse", "truncate", "skip"],
    name: str,
    notes: list[str],
    report: Callable[[float], None] = lambda fraction: None,
) -> list[Example]:
    """Tokenise examples, each option joined to the prompt by one space. Raises `UserError`.

    `name` is what messages call the data; `notes` gets what is worth a log line.
    """
    examples: list[Example] = []
    astride = 0  # options that do not begin where the prompt's tokens end
    for start in range(0, len(raw), _CHUNK):
        chunk = raw[start : start + _CHUNK]
        report(start / len(raw))
        prompts = [item.prompt.rstrip(" ") for item in chunk]  # "one space" also after a template that ends in one
        bare = encoder(prompts)
        fulls = iter(encoder([f"{p} {o}" for p, item in zip(prompts, chunk, strict=True) for o in item.options]))
        for item, prompt in zip(chunk, bare, strict=True):
            example = _split(prompt, [next(fulls) for _ in item.options], item)
            astride += len(example.prompt) < len(prompt)
            examples.append(example)
    report(1.0)
    if astride:
        notes.append(
            f"{name}: in {astride:,} of {len(examples):,} examples the options begin inside the prompt's last token"
        )
    return _fit(examples, encoder, max_length, too_long, name, notes)


def _split(prompt: list[int], fulls: list[list[int]], item: Raw) -> Example:
    """Find where the options begin.

    Usually after the prompt's own tokens. Where a tokenizer merges across the border the prompt is
    cut back to what all share with it, never on into the options: their mean log-probability is
    over all of their tokens, common ones included.
    """
    shared = min(len(prompt), *(len(full) - 1 for full in fulls))
    for full in fulls:
        shared = next((i for i in range(shared) if prompt[i] != full[i]), shared)
    if shared < 1:
        raise UserError(f"{item.where}: the prompt is empty; the model needs a token before the options")
    return Example(tuple(prompt[:shared]), tuple(tuple(full[shared:]) for full in fulls), item.label)


def _fit(
    examples: list[Example],
    encoder: Encoder,
    max_length: int,
    too_long: Literal["refuse", "truncate", "skip"],
    name: str,
    notes: list[str],
) -> list[Example]:
    lengths = [example.length for example in examples]
    over = sum(length > max_length for length in lengths)
    if not over:
        return examples
    fact = f"{over:,} of {len(examples):,} examples are longer than {max_length:,} tokens (longest {max(lengths):,})"
    if too_long == "refuse":
        raise UserError(f"{name}: {fact}; set task.too_long=truncate or task.too_long=skip")
    if too_long == "skip":
        kept = [example for example in examples if example.length <= max_length]
        if not kept:
            raise UserError(f"{name}: {fact}, none is left; set task.too_long=truncate")
        notes.append(f"{name}: {fact}; they are skipped")
        return kept
    notes.append(f"{name}: {fact}; their prompts are cut from the left")
    return [_truncate(e, encoder.leading, max_length, name) if e.length > max_length else e for e in examples]


def _truncate(example: Example, leading: int, max_length: int, name: str) -> Example:
    """Cut the prompt from the left, behind its special tokens."""
    room = max_length - max(map(len, example.options)) - leading
    if room < 1:
        raise UserError(
            f"{name}: an option or target alone is {max(map(len, example.options)):,} tokens, more than "
            f"fit into {max_length:,}; set task.too_long=skip"
        )
    return msgspec.structs.replace(example, prompt=example.prompt[:leading] + example.prompt[leading:][-room:])
