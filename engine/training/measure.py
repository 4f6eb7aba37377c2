"""What an evaluation measures of the weights as they are: examples scored, and texts generated and compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.runtimes.base import Runtime
from engine.tasks import answers, objective
from engine.tasks.example import Example
from engine.tasks.load import Task
from engine.tasks.tokenize import Encoder

_SCORED = 64  # examples between two looks at the requests
_GENERATED = 32  # texts between two


class Measure:
    """Measures a task's examples on a runtime; moves nothing."""

    def __init__(self, runtime: Runtime, task: Task, encoder: Encoder) -> None:
        self._runtime, self._task, self._encoder = runtime, task, encoder

    def of(self, examples: Sequence[Example], between: Callable[[], None] = lambda: None) -> dict[str, float]:
        """`loss`, `accuracy` where there are options, `f1` and `exact_match` (0..1) where there are answers.

        `between` is called between slices of the work, and may raise to end it.
        """
        scores: objective.Scores = []
        for start in range(0, len(examples), _SCORED):
            between()
            scores += self._runtime.score(examples[start : start + _SCORED])
        domain = self._domain(examples, between)
        asked = [example for example in examples if example.answers]
        figures = objective.metrics(self._task.objective, examples, scores, domain)
        return figures | self._generated(asked, between)

    def _domain(self, examples: Sequence[Example], between: Callable[[], None]) -> objective.Scores | None:
        """The scores of every example's options behind the prompt that says nothing of it, each such scored once."""
        if not examples or examples[0].domain is None:
            return None
        different = list(dict.fromkeys(example.domain for example in examples if example.domain))
        known: dict[Example | None, list[float]] = {}
        for start in range(0, len(different), _SCORED):
            between()
            part = different[start : start + _SCORED]
            known |= dict(zip(part, self._runtime.score(part), strict=True))
        return [known[example.domain] for example in examples]

    def _generated(self, asked: Sequence[Example], between: Callable[[], None]) -> dict[str, float]:
        if not asked:
            return {}
        texts: list[str] = []
        for start in range(0, len(asked), _GENERATED):
            between()
            texts += self.texts(asked[start : start + _GENERATED])
        pairs = list(zip(texts, asked, strict=True))
        return {
            "f1": sum(answers.f1(text, example.answers) for text, example in pairs) / len(pairs),
            "exact_match": sum(answers.exact_match(text, example.answers) for text, example in pairs) / len(pairs),
        }

    def texts(self, examples: Sequence[Example]) -> list[str]:
        """What the model answers to each: greedily, to the end of the line or to EOS."""
        newline = self._task.stops_at_newline
        stop = [*(self._encoder.newlines if newline else ()), *self._encoder.ends]
        found = self._runtime.generate([e.prompt for e in examples], self._task.generate_tokens, stop)
        texts = [self._encoder.decode(ids) for ids in found]
        return [(text.partition("\n")[0] if newline else text).strip() for text in texts]
