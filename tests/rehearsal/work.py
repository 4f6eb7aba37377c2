"""What every case does, whatever runs it: the examples, the steps, and by which coefficients weights move."""

from __future__ import annotations

from collections.abc import Sequence

from engine.benchmark.batches import examples
from engine.estimators.probing import Probing
from engine.runtimes.base import Needs, Probe, Upcoming
from engine.tasks.example import Example
from engine.tasks.objective import loss

STEPS, INTERVAL = 9, 4  # folds at 4 and 8
EPS, RATE = 0.005, 0.002
SEED = 0
_BATCH, _POOL = 5, 40


def pool(vocabulary: int, option_tokens: int) -> list[Example]:
    """Examples whose prompts are as long as those of SST-2."""
    return examples(_POOL, vocabulary=vocabulary, options=2, option_tokens=option_tokens, length=None, seed=SEED)


def batch(of: Sequence[Example], step: int) -> list[Example]:
    """Two batches take turns: what is recorded for one is replayed two steps later."""
    return list(of[_BATCH * (step % 2) : _BATCH * (step % 2 + 1)])


def upcoming(of: Sequence[Example], step: int) -> Upcoming:
    """What a step is told of the next, `step`."""
    return Upcoming(step, batch(of, step))


def needs(of: Sequence[Example], option_tokens: int, queries: int) -> Needs:
    """For these steps."""
    return Needs(
        _BATCH, max(e.length for e in of), options=2, option_tokens=option_tokens, probing=Probing(queries=queries)
    )


def losses(of: Sequence[Example], probes: Sequence[Probe]) -> list[tuple[float, float]]:
    """(loss at plus, loss at minus) of every query."""
    return [(loss("classification", of, p.plus), loss("classification", of, p.minus)) for p in probes]


def coefficients(of_queries: Sequence[tuple[float, float]]) -> list[float]:
    """What the update takes of every direction."""
    return [RATE * (plus - minus) / (2 * EPS) / len(of_queries) for plus, minus in of_queries]
