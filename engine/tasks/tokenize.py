"""From prompts and options to token ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import msgspec

from engine.errors import UserError
from engine.tasks.border import Border
from engine.tasks.example import Example
from engine.tasks.fitting import fit
from engine.tasks.special import Specials
from engine.tasks.template import Filled, Template
from engine.text import listed

_CHUNK = 512  # examples that are handed to the tokenizer at once

RULES = 3
"""By which texts become tokens, for a run's record: since 2 special tokens in the data are text, a BOS token that a
text begins with is the only one, a target keeps the white space that it ends in, and a prompt of which every column is
empty is refused; since 3 nothing stands between an option and a template that ends in a newline. Runs go on by those
that they began by."""


@dataclass(frozen=True)
class Raw:
    """An example before it is tokenised."""

    where: str  # file and row, for messages
    prompt: Filled
    options: Sequence[Filled]
    label: int
    right: tuple[int, ...] = ()  # all right options, where there are several
    answers: tuple[str, ...] = ()
    learned: tuple[tuple[int, int], ...] = ()  # of a conversation, where what is learned begins and ends
    domain: Filled | None = None  # a prompt that says nothing of the example, for calibration
    likely: bool = False  # the loss is how likely the right option is


class Encoder:
    """A tokenizer with the special tokens that belong at the start, but none at the end.

    With `bos`, a sequence begins with the tokenizer's BOS token even where the tokenizer leaves that
    to its caller: models are trained on documents that begin with it (OPT's with `</s>`).
    """

    def __init__(self, tokenizer: Any, *, bos: bool = True, rules: int = RULES) -> None:
        self.tokenizer = tokenizer
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
        last = [*self._prefix, *full][self.leading - 1] if self.leading else None
        self._rules = rules
        #: Whether texts become tokens by other rules than the first.
        self.by_later_rules = rules > 1
        #: The BOS token of which a text that begins with it gets no second one.
        self.bos = tokenizer.bos_token_id if self.by_later_rules and last == tokenizer.bos_token_id else None
        self._specials = Specials(tokenizer) if self.by_later_rules else None

    def __call__(self, texts: Sequence[Filled], held: Sequence[Sequence[str]] | None = None) -> list[list[int]]:
        """The ids of every text; `held` is what each holds, where that is known.

        Raises `UserError` where special tokens in the data cannot be taken for text.
        """
        held = [self.held(text) for text in texts] if held is None else held
        apart = [text for text, tokens in zip(texts, held, strict=True) if tokens]
        if not apart or self._specials is None:
            return [self._begun(ids) for ids in self._encode(texts)]
        taken = iter(self._specials.encode(apart))
        others = iter(self._encode([text for text, tokens in zip(texts, held, strict=True) if not tokens]))
        return [self._begun(next(taken if tokens else others)) for tokens in held]

    def join(self, template: str) -> str:
        """What stands between a prompt by this template and what follows, where the task does not say."""
        return "" if self._rules > 2 and template.endswith("\n") else " "

    def begins_by(self, template: Template) -> bool:
        """Whether a template itself begins with the BOS token, and what is filled in gets no other."""
        return self.bos is not None and template.begins_with(self.tokenizer.bos_token)

    def _encode(self, texts: Sequence[Filled]) -> list[list[int]]:
        return list(self.tokenizer([text.text for text in texts])["input_ids"]) if texts else []

    def _begun(self, ids: list[int]) -> list[int]:
        ids = [*self._prefix, *ids[: len(ids) - self._trailing]]
        if self.bos is not None and ids[self.leading - 1 : self.leading + 1] == [self.bos, self.bos]:
            del ids[self.leading]
        return ids

    def held(self, text: Filled) -> list[str]:
        """The special tokens that are text there, because they came from a column."""
        return self._specials.inside(text) if self._specials else []

    @cached_property
    def newlines(self) -> tuple[int, ...]:
        """Every token whose text holds a newline."""
        texts = self.tokenizer.batch_decode([[token] for token in range(len(self.tokenizer))])
        return tuple(token for token, text in enumerate(texts) if "\n" in text)

    @property
    def ends(self) -> tuple[int, ...]:
        """The tokenizer's EOS token, where it has one."""
        return () if self.tokenizer.eos_token_id is None else (self.tokenizer.eos_token_id,)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these ids, for people: special tokens are left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))


def encode(
    raw: Sequence[Raw],
    encoder: Encoder,
    *,
    max_length: int,
    too_long: Literal["refuse", "truncate", "skip"],
    name: str,
    notes: list[str],
    join: str = " ",
    end: int | None = None,
    room: int = 0,
    report: Callable[[float], None] = lambda fraction: None,
) -> list[Example]:
    """Tokenise examples, each option joined to the prompt by `join`. Raises `UserError`.

    `name` is what messages call the data; `notes` gets what is worth a log line; `end` is the token that options end
    in, each once; `room` is for the tokens of a text that is generated, where an example has answers to it.
    """
    try:
        examples = _Joint(encoder, join, end, report).examples(raw, notes, name)
    except _NotTheSame:
        examples = _Joint(encoder, join, end, report, once=False).examples(raw, notes, name)
    if raw and raw[0].domain is not None:
        plain = fit(_domains(raw, encoder, join, name), encoder.leading, max_length, "truncate", name, [], 0)
        domains = zip(examples, plain, strict=True)
        examples = [msgspec.structs.replace(example, domain=domain) for example, domain in domains]
    return fit(examples, encoder.leading, max_length, too_long, name, notes, room)


def _domains(raw: Sequence[Raw], encoder: Encoder, join: str, name: str) -> list[Example]:
    """The same options behind prompts that say nothing; behind empty ones nothing joins them."""
    plain = [replace(item, prompt=item.domain or Filled(""), domain=None) for item in raw]
    join = join if any(item.prompt.text for item in plain) else ""
    return _Joint(encoder, join, None, lambda fraction: None, once=False).examples(plain, [], name)


class _NotTheSame(Exception):
    """An option has other tokens behind another prompt after all."""


class _Joint:
    """Prompts and options, tokenised as one text each; or each option once, where that is the same.

    Where it is (`engine.tasks.border`), one option of every example is tokenised behind its prompt all the same, in
    turn: what was concluded is seen to hold on the data at hand.
    """

    def __init__(
        self, encoder: Encoder, join: str, end: int | None, report: Callable[[float], None], *, once: bool = True
    ) -> None:
        self._encoder, self._between, self._end, self._report = encoder, join, end, report
        self._border = Border(encoder.tokenizer) if once and join == " " else None
        self._shared: Sequence[Filled] = ()  # the options that are tokenised once
        self._known: tuple[tuple[int, ...], ...] = ()  # their tokens
        self._distinct: object = None  # the last options that were found to be

    def examples(self, raw: Sequence[Raw], notes: list[str], name: str) -> list[Example]:
        """All of them. Raises `UserError`, and `_NotTheSame`."""
        examples: list[Example] = []
        astride = 0  # options that do not begin where the prompt's tokens end
        held: dict[str, None] = {}
        holding = 0  # examples in which special tokens are text
        for start in range(0, len(raw), _CHUNK):
            chunk = raw[start : start + _CHUNK]
            self._report(start / len(raw))
            # "one space" also after a template that ends in one
            prompts = [item.prompt.stripped(right=" " if self._between.startswith(" ") else "") for item in chunk]
            in_prompts = [self._encoder.held(prompt) for prompt in prompts]
            bare = self._encoder(prompts, in_prompts)
            joined = self._join(chunk, prompts, bare, in_prompts)
            for item, ids, in_prompt, example in zip(chunk, bare, in_prompts, joined, strict=True):
                self._check_distinct(example, item)
                astride += len(example.prompt) < len(ids)
                examples.append(example)
                found = [*in_prompt, *(token for option in item.options for token in self._encoder.held(option))]
                held |= dict.fromkeys(found)
                holding += bool(found)
        self._report(1.0)
        if holding:
            notes.append(
                f"{name}: {holding:,} of {len(examples):,} examples hold the text of special tokens "
                f"({listed(list(held), 5)}): in a column's value it is text, no token"
            )
        if astride:
            notes.append(
                f"{name}: in {astride:,} of {len(examples):,} examples the options begin inside the prompt's last token"
            )
        return examples

    def _join(
        self, chunk: Sequence[Raw], prompts: list[Filled], bare: list[list[int]], held: list[list[str]]
    ) -> list[Example]:
        behind: list[Sequence[int]] = []  # of each example the options that are tokenised behind its prompt
        for number, (item, prompt, ids, tokens) in enumerate(zip(chunk, prompts, bare, held, strict=True)):
            every = range(len(item.options))
            behind.append([number % len(every)] if not tokens and self._once(item, prompt, ids) else every)
        texts = [
            p.before(item.options[n], self._between)
            for item, p, which in zip(chunk, prompts, behind, strict=True)
            for n in which
        ]
        fulls = iter(self._encoder(texts))
        joined = []
        for item, ids, which in zip(chunk, bare, behind, strict=True):
            found = [next(fulls) for _ in which]
            if len(found) == len(item.options):
                joined.append(self._split(ids, found, item))
                continue
            if found[0] != [*ids, *self._known[which[0]]]:
                raise _NotTheSame
            joined.append(Example(tuple(ids), self._known, item.label, item.right, item.answers, likely=item.likely))
        return joined

    def _once(self, item: Raw, prompt: Filled, ids: list[int]) -> bool:
        """Whether the options behind this prompt are known."""
        if self._border is None or len(item.options) < 2 or not self._border.ends(prompt.text):
            return False
        if self._shared is not item.options:
            if not self._border.allows([option.text for option in item.options]):
                self._border = None
                return False
            fulls = self._encoder([prompt.before(option, self._between) for option in item.options])
            if any(full[: len(ids)] != ids or len(full) == len(ids) for full in fulls):
                raise _NotTheSame
            self._shared, self._known = item.options, tuple(tuple(full[len(ids) :]) for full in fulls)
        return True

    def _split(self, prompt: list[int], fulls: list[list[int]], item: Raw) -> Example:
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
        last = () if self._end is None else (self._end,)
        options = (tuple(full[shared:]) for full in fulls)
        ended = tuple(option if option[-1:] == last else option + last for option in options)
        return Example(tuple(prompt[:shared]), ended, item.label, item.right, item.answers, likely=item.likely)

    def _check_distinct(self, example: Example, item: Raw) -> None:
        """Raise `UserError` for options that nothing tells apart: their losses are the same for ever."""
        if example.options is self._distinct:
            return
        first: dict[tuple[int, ...], str] = {}
        for tokens, option in zip(example.options, item.options, strict=True):
            if tokens in first:
                shown = self._encoder.tokenizer.decode(list(tokens))
                raise UserError(
                    f"{item.where}: the options {first[tokens]!r} and {option.text!r} are the same tokens to this "
                    f"model's tokenizer ({shown!r}): nothing tells them apart; choose other option texts"
                )
            first[tokens] = option.text
        self._distinct = example.options
