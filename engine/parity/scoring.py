"""What a recording scores, as our runtimes score it: examples, and the loss of them."""

from __future__ import annotations

from collections.abc import Sequence

from engine.parity.recording import RecordedExample
from engine.tasks import objective
from engine.tasks.example import Example
from engine.tasks.objective import Objective, Scores


def scored(recorded: Sequence[RecordedExample]) -> list[Example]:
    """Every option's sequence as an example of its own, in order.

    The options of a recorded example need not share their prompt, so each stands alone.
    """
    return [
        Example(tuple(sequence[:-count]), (tuple(sequence[-count:]),), 0)
        for example in recorded
        for sequence, count in zip(example.sequences, example.option_lens, strict=True)
    ]


def loss(of: Objective, recorded: Sequence[RecordedExample], scores: Scores) -> float:
    """The loss in nats that the scores of `scored(recorded)` come to."""
    each = iter(scores)
    examples = [Example((), tuple((0,) * count for count in one.option_lens), one.label) for one in recorded]
    return objective.loss(of, examples, [[next(each)[0] for _ in one.option_lens] for one in recorded])
