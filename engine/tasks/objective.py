"""From option scores to losses and metrics.

A score is the summed log-probability of an option's tokens after its prompt; for options of a single
token it may be short by a constant that all options of an example share, since that cancels here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from engine.tasks.example import Example

Scores = list[list[float]]
"""Per example, per option."""

Objective = Literal["classification", "lm"]


def loss(objective: Objective, examples: Sequence[Example], scores: Scores) -> float:
    """Loss of a batch in nats.

    classification: mean cross entropy over the mean log-probability of each option's tokens;
    lm: mean negative log-likelihood over all tokens of the right options of the batch
    (both as in the MeZO trainer, arXiv 2305.17333).
    """
    if objective == "lm":
        tokens = sum(len(example.options[example.label]) for example in examples)
        return -math.fsum(row[example.label] for example, row in zip(examples, scores, strict=True)) / tokens
    return math.fsum(_cross_entropy(example, row) for example, row in zip(examples, scores, strict=True)) / len(
        examples
    )


def metrics(objective: Objective, examples: Sequence[Example], scores: Scores) -> dict[str, float]:
    """What an evaluation reports: `loss`, and `accuracy` (0..1) where there are options to choose from.

    The option of the highest mean log-probability is what the model says.
    """
    figures = {"loss": loss(objective, examples, scores)}
    if any(len(example.options) > 1 for example in examples):
        said = (example.is_right(_best(example, row)) for example, row in zip(examples, scores, strict=True))
        figures["accuracy"] = sum(said) / len(examples)
    return figures


def probabilities(example: Example, row: Sequence[float]) -> list[float]:
    """How likely each option is among them, by the mean log-probability of its tokens; they sum to 1."""
    means = _means(example, row)
    top = max(means)
    weights = [math.exp(mean - top) for mean in means]
    return [weight / math.fsum(weights) for weight in weights]


def _means(example: Example, row: Sequence[float]) -> list[float]:
    return [score / len(option) for option, score in zip(example.options, row, strict=True)]


def _best(example: Example, row: Sequence[float]) -> int:
    means = _means(example, row)
    return means.index(max(means))


def _cross_entropy(example: Example, row: Sequence[float]) -> float:
    means = _means(example, row)
    top = max(means)
    return top + math.log(math.fsum(math.exp(mean - top) for mean in means)) - means[example.label]
