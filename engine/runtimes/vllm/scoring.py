"""Examples scored at the signs that the slots hold: by packed passes, or through vLLM's public API.

A packed pass scores the tokens of a batch at all signs at once, no token twice; a batch that is more than a pass was
sized to is cut into chunks. The public API scores every prompt once for each option and sign: it takes over where
packed passes do not work, or the examples are longer than passes were sized to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from vllm import LLM

from engine.estimators.probing import Probing
from engine.runtimes.base import Needs, Upcoming
from engine.runtimes.vllm import self_check
from engine.runtimes.vllm.capacity import Capacity, Layouts
from engine.runtimes.vllm.public_api import generate_scores
from engine.runtimes.vllm.worker.slots import Sign
from engine.tasks.example import Example
from engine.tasks.objective import Scores


class Scoring:
    """Scores by either path, for passes of at most `plan.signs` signs.

    Attributes: paths, those that work, the first in use; usage, the share of the KV space that the last pass took.
    """

    def __init__(self, llm: LLM, call: Callable[..., Any], needs: Needs, plan: Capacity, block: int) -> None:
        """`call`: a method of the worker by its name, and its arguments."""
        self._llm, self._call, self._needs, self._signs = llm, call, needs, plan.signs
        self._layouts = Layouts(plan, block)
        self.paths: tuple[self_check.Path, ...] = ("packed", "public")
        self.usage = 0.0

    def passes(self, probing: Probing, eps: float, examples: Sequence[Example]) -> list[tuple[range, list[Sign]]]:
        """The passes that a step's probes are scored by, each with all of the batch: its queries, and its signs.

        W + eps Z and W - eps Z of a query; one-sided the first alone, and W itself once, before all others.
        """
        per_pass = self._queries_per_pass(probing, examples)
        return [
            (queries, _signs(probing, queries, eps, with_base=first == 0))
            for first in range(0, probing.queries, per_pass)
            for queries in [range(first, min(first + per_pass, probing.queries))]
        ]

    def score(
        self,
        examples: Sequence[Example],
        signs: int,
        later: tuple[Upcoming, list[int]] | None = None,
        shards: int = 1,
    ) -> tuple[list[Scores], int]:
        """Scores per sign, and the tokens scored.

        `later`: the next step's batch and its directions, to be made ready after the last pass.
        """
        if self.paths[:1] != ("packed",) or not self._fits_a_pass(examples):
            tokens = signs * sum(len(e.prompt) + len(o) for e in examples for o in e.options)
            return self.public(examples, signs, shards), tokens
        of_signs: list[Scores] = [[] for _ in range(signs)]
        tokens = done = 0
        parts = self._layouts.of(examples, signs)
        for part in parts:
            ahead = None
            if later is not None and part is parts[-1]:
                upcoming, directions = later
                after = self._layouts.of(upcoming.examples, signs)[0]
                of_shards = _shards(0, len(after), len(upcoming.examples), shards)
                ahead = upcoming.step, directions, after, signs, of_shards
            of_part = _shards(done, len(part), len(examples), shards)
            done += len(part)
            scores, scored, blocks = self._call("zo_score", part, signs, ahead, of_part)
            for sign, sign_scores in zip(of_signs, scores, strict=True):
                sign += sign_scores
            tokens += scored
            self.usage = self._layouts.share(blocks)
        return of_signs, tokens

    def public(self, examples: Sequence[Example], signs: int, shards: int = 1) -> list[Scores]:
        """Score signs through `generate`, in vLLM's own slots: the examples of one shard after the other."""
        found = []
        for sign in range(signs):
            scores: Scores = []
            for shard, part in enumerate(Probing(shards=shards).shard_ranges(len(examples))):
                with self.published(sign, shard) as adapter:
                    scores += generate_scores(self._llm, examples[part.start : part.stop], adapter)
            found.append(scores)
        return found

    @contextmanager
    def published(self, sign: int, shard: int = 0) -> Iterator[int]:
        """Within it, vLLM's public API scores a shard of a sign by the adapter that this gives."""
        try:
            yield self._call("zo_publish", sign, shard)
        finally:
            self._call("zo_unpublish")

    def floor(self, examples: Sequence[Example], probing: Probing) -> int:
        """Score what the probes of a step score, but without slots; returns the tokens scored."""
        tokens = 0
        for _, signs in self.passes(probing, 0.0, examples):
            for part in self._layouts.of(examples, len(signs)):
                tokens += self._call("zo_floor", part, len(signs))
        return tokens

    def _queries_per_pass(self, probing: Probing, examples: Sequence[Example]) -> int:
        """As many as fit one pass with the whole batch; one, and the batch in chunks, if none does."""
        if self.paths[:1] != ("packed",):
            return 1
        pairs = probing.sides == "two"
        per_pass = max(1, min(probing.queries, self._signs // 2 if pairs else self._signs - 1))
        while per_pass > 1 and len(self._layouts.of(examples, 2 * per_pass if pairs else 1 + per_pass)) > 1:
            per_pass -= 1
        return per_pass

    def _fits_a_pass(self, examples: Sequence[Example]) -> bool:
        """Whether passes were sized to these; a prompt typed by hand may be longer, or have more options."""
        needs = self._needs
        return all(
            e.length <= needs.longest
            and len(e.options) <= needs.options
            and max(map(len, e.options)) <= needs.option_tokens
            for e in examples
        )


def _signs(probing: Probing, queries: Sequence[int], eps: float, *, with_base: bool) -> list[Sign]:
    """What a pass is made at: W + eps Z and W - eps Z of these queries, or the first alone, and W itself before."""
    if probing.sides == "two":
        return [Sign(query, side * probing.distance(query, eps)) for query in queries for side in (1, -1)]
    return [Sign(-1, 0.0)] * with_base + [Sign(query, probing.distance(query, eps)) for query in queries]


def _shards(first: int, count: int, batch: int, shards: int) -> list[int]:
    """The shard of `count` examples of a batch, from its `first` on; nothing where there is but one."""
    if shards == 1:
        return []
    probing = Probing(shards=shards)
    return [probing.shard_of(index, batch) for index in range(first, first + count)]
