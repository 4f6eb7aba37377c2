"""What every case does, whatever runs it: the examples, the steps, and by what weights move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.benchmark.batches import examples
from engine.estimators.estimate import gradients
from engine.estimators.probing import Probing
from engine.estimators.weighting import weigh
from engine.optimizer import probing_of
from engine.preflight.scope import probing_at_once
from engine.preset.method import Method
from engine.runtimes.base import Needs, Probe, Upcoming
from engine.tasks.example import Example
from engine.tasks.objective import loss

STEPS, INTERVAL = 9, 4  # folds at 4 and 8
EPS = 0.005
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


def method(case: Mapping[str, Any]) -> Method:
    """That of a case, given as its fields."""
    keys = {"rank": case["rank"], "interval": INTERVAL, "queries": case["queries"], **dict(case["settings"])}
    return Method(name=case["method"], **keys)


def probing(of: Method) -> Probing:
    """What a step scores."""
    return probing_of(of, _BATCH)


def needs(of: Sequence[Example], option_tokens: int, method: Method) -> Needs:
    """For these steps."""
    longest = max(e.length for e in of)
    return Needs(_BATCH, longest, options=2, option_tokens=option_tokens, probing=probing_at_once(method, _BATCH))


def losses(of: Sequence[Example], probes: Sequence[Probe], probing: Probing) -> list[tuple[float, float]]:
    """(loss at plus, loss at minus, or at W) of every direction, on its part of the batch."""
    return [
        (loss("classification", some, probe.plus[part]), loss("classification", some, probe.minus[part]))
        for probe in probes
        for part in (slice(r.start, r.stop) for r in probing.shard_ranges(len(of)))
        for some in [of[part]]
    ]


def weighed(of_directions: Sequence[tuple[float, float]], method: Method) -> list[float]:
    """What the update takes of every direction."""
    plus, minus = zip(*of_directions, strict=True)
    return list(weigh(method.weights, gradients(plus, minus, EPS, probing(method))))
