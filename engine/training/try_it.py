"""Answers to what the user tries: a prompt, or an example, with the weights as they are and with the base model's."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass

from engine.errors import UserError
from engine.protocol.commands import Try
from engine.protocol.events import Answer, Tried
from engine.runtimes.base import Runtime
from engine.tasks.example import Example
from engine.tasks.load import Task
from engine.tasks.objective import probabilities
from engine.tasks.template import Filled
from engine.tasks.tokenize import Encoder, Raw, encode

_MOST_OPTIONS = 64  # of a prompt: a run waits while they are scored
_REMEMBERED = 64  # answers of the base model, which stay what they are


@dataclass(frozen=True)
class _Question:
    """What is asked, as tokens: probabilities of the options, or a text where there is no example."""

    prompt: tuple[int, ...]
    example: Example | None
    most: int  # tokens of a text


class Trying:
    """Scores and generates between two steps; moves nothing."""

    def __init__(self, runtime: Runtime, task: Task, encoder: Encoder, vocabulary: int) -> None:
        """`vocabulary`: the tokens that the model knows, be they fewer than the tokenizer's."""
        self._runtime, self._task, self._encoder, self._vocabulary = runtime, task, encoder, vocabulary
        self._known: dict[_Question, Answer] = {}

    def answer(self, asked: Try, step: int) -> Tried:
        """The answer after `step` steps; what cannot be answered says why, in `note`."""
        began = time.perf_counter()
        prompt, options, label, note = asked.prompt, asked.options, None, ""
        now = base = None
        try:
            question, prompt, options, label = self._understand(asked)
            self._check_tokens(question)
            now = self._ask(question)
            base = self._ask_base(question)
        except UserError as error:
            note = str(error)
        except Exception as error:
            logging.getLogger("engine").exception("a prompt was not answered")
            note = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        return Tried(
            id=asked.id, step=step, prompt=prompt, options=options, label=label, now=now, base=base, note=note,
            seconds=time.perf_counter() - began,
        )  # fmt: skip

    def _understand(self, asked: Try) -> tuple[_Question, str, list[str], int | None]:
        """The question; prompt, options and label to be shown. Raises `UserError`."""
        if asked.example is None:
            if len(asked.options) > _MOST_OPTIONS:
                raise UserError(f"{len(asked.options)} options are too many: {_MOST_OPTIONS} can be tried at once")
            if asked.options:
                raw = Raw("the prompt", Filled(asked.prompt), [Filled(option) for option in asked.options], 0)
                (example,) = encode(
                    [raw], self._encoder, max_length=2**31, too_long="refuse", name="", notes=[],
                    join=self._encoder.join(asked.prompt),
                )  # fmt: skip
                return _Question(example.prompt, example, 0), asked.prompt, asked.options, None
            (prompt,) = self._encoder([Filled(asked.prompt)])
            most = max(1, min(asked.max_tokens, self._runtime.longest - len(prompt)))
            return _Question(tuple(prompt), None, most), asked.prompt, [], None
        held_out = self._task.validation
        if asked.example >= len(held_out):
            raise UserError(f"example {asked.example}: the validation split ends with {len(held_out) - 1}")
        example = held_out[asked.example]
        text = self._encoder.decode(example.prompt)
        options = [self._encoder.decode(option).strip() for option in example.options]
        # Where there is nothing to choose from, a text is to be learned.
        scored = example if len(example.options) > 1 else None
        most = max(1, min(asked.max_tokens, self._runtime.longest - len(example.prompt)))
        return _Question(example.prompt, scored, most), text, options, example.label

    def _check_tokens(self, question: _Question) -> None:
        example = question.example
        length, room = (example.length, 1) if example else (len(question.prompt), question.most)
        if not length:
            raise UserError("the prompt is empty; the model needs a token to go on from")
        if length + room > self._runtime.longest:
            raise UserError(f"{length} tokens are too many: the model has room for {self._runtime.longest - room} here")
        highest = max(max(ids) for ids in (question.prompt, *(example.options if example else ())) if ids)
        if highest >= self._vocabulary:  # of which vLLM has rows that mean nothing
            token = self._encoder.tokenizer.convert_ids_to_tokens(highest)
            raise UserError(f"{token!r} (id {highest}) is beyond the model's vocabulary of {self._vocabulary:,} tokens")

    def _ask(self, question: _Question) -> Answer:
        if question.example is None:
            (generated,) = self._runtime.generate([question.prompt], question.most)
            return Answer(text=self._encoder.decode(generated))
        (row,) = self._runtime.score([question.example])
        if not all(map(math.isfinite, row)):
            raise UserError("the model's scores are not finite numbers")
        return Answer(probabilities=probabilities(question.example, row))

    def _ask_base(self, question: _Question) -> Answer:
        if question not in self._known:
            with self._runtime.at_base():
                answer = self._ask(question)
            while len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[question] = answer
        return self._known[question]
