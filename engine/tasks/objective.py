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
        tokens = sum(len(example.scored(example.label)) for example in examples)
        return -math.fsum(row[example.label] for example, row in zip(examples, scores, strict=True)) / tokens
    return math.fsum(_cross_entropy(example, row) for example, row in zip(examples, scores, strict=True)) / len(
        examples
    )


def metrics(
    objective: Objective, examples: Sequence[Example], scores: Scores, domain: Scores | None = None
) -> dict[str, float]:
    """What an evaluation reports: `loss`, and `accuracy` (0..1) where there are options to choose from.

    The model says the option of the highest mean log-probability; with the scores of each example's `domain`, that of
    the highest log p(option | prompt) - log p(option | domain) (arXiv 2104.08315, as MeZO has it).
    """
    figures = {"loss": loss(objective, examples, scores)}
    if any(len(example.options) > 1 for example in examples):
        rated = [_means(example, row) for example, row in zip(examples, scores, strict=True)]
        if domain is not None:
            rated = [[a - b for a, b in zip(*rows, strict=True)] for rows in zip(scores, domain, strict=True)]
        said = [row.index(max(row)) for row in rated]
        figures["accuracy"] = sum(map(Example.is_right, examples, said)) / len(examples)
    return figures


def probabilities(example: Example, row: Sequence[float]) -> list[float]:
    """How likely each option is among them, by the mean log-probability of its tokens; they sum to 1."""
    means = _means(example, row)
    top = max(means)
    weights = [math.exp(mean - top) for mean in means]
    return [weight / math.fsum(weights) for weight in weights]


def _means(example: Example, row: Sequence[float]) -> list[float]:
    return [score / len(example.scored(option)) for option, score in enumerate(row)]


def _cross_entropy(example: Example, row: Sequence[float]) -> float:
    means = _means(example, row)
    top = max(means)
    return top + math.log(math.fsum(math.exp(mean - top) for mean in means)) - means[example.label]
