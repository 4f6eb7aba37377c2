"""Do packed passes and vLLM's public API score the same? Asked once, at every start."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.errors import RunFailed
from engine.runtimes.vllm.blame import named, no_memory, our_fault
from engine.runtimes.vllm.packing import one_token_options
from engine.tasks.example import Example
from engine.tasks.objective import Scores

_log = logging.getLogger("engine")

EXAMPLES = 4
# Largest difference, in nats, between a score by the packed path and by the public one.
_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.5, "float16": 0.1}
# Tried in turn: the slots must move scores by several times what the dtype blurs, or a slot that does
# nothing would pass. A random or very small model may never be moved so far; the further it is moved, the
# more rounding differs between two paths that are both right.
_EPS = (1e-2, 3e-2, 1e-1, 3e-1)
_CLEARLY = 4.0  # times the tolerance, or the difference that there is
_LEAST = 0.25  # of the tolerance, that a move must be to tell anything


Path = Literal["packed", "public"]

Packed = Callable[[float], list[Scores]]
"""Scores of both signs at an eps, by packed passes."""

Public = Callable[[], list[Scores]]
"""Those of the same signs, by vLLM's public API."""


@dataclass(frozen=True)
class Found:
    """What came of it: which of the two paths may be gone on by, the better first, and a line for the log."""

    paths: tuple[Path, ...]
    level: Literal["info", "warning"]
    text: str


class _PublicFailed(Exception):
    """vLLM's public API raised something; it is the cause."""


def check(packed: Packed, public: Public, examples: Sequence[Example], dtype: str, *, slots: bool) -> Found:
    """Whether the two agree; without `slots` they score the one sign of the weights as they are.

    Raises `RunFailed` where they could not be compared by a fault of our own: a check that was not made must not pass.
    """

    def asked() -> list[Scores]:
        try:
            return public()
        except Exception as error:
            _log.info("vLLM's public API failed", exc_info=True)
            if fault := our_fault(error):
                raise RunFailed(f"the self-check could not be made: {fault}") from error
            raise _PublicFailed from error

    try:
        if slots:
            agreed, worst = compare(packed, asked, examples, dtype)
        else:
            agreed, worst = verdict(examples, packed(0.0), asked(), dtype)
    except RunFailed:
        raise
    except _PublicFailed as error:  # the public path may be what does not work
        why = f"packed scoring could not be checked, vLLM's public API failed ({named(error.__cause__ or error)})"
        return Found(("packed",), "warning", why)
    except Exception as error:  # whatever a vLLM we do not know may raise: the public path may work
        _log.info("packed scoring failed", exc_info=True)
        if no_memory(error):
            raise RunFailed(f"the self-check could not be made: {our_fault(error)}") from error
        why = f"packed scoring failed on this vLLM ({named(error)})"
        try:
            asked()
        except _PublicFailed as other:
            return Found((), "warning", f"{why}, and so did its public API ({named(other.__cause__ or other)})")
        return Found(("public",) if slots else (), "warning", why)
    if not agreed:
        why = f"packed scoring differs from vLLM's public API by {worst:.2g} nats"
        return Found(("public",) if slots else (), "warning", why)
    how = "" if slots else ", without slots"
    text = f"packed scoring agrees with vLLM's public API to {worst:.1g} nats{how}"
    return Found(("packed", "public") if slots else ("packed",), "info", text)


def shortest(examples: Sequence[Example]) -> list[Example]:
    """The examples to compare: the public API keeps the logits of every token of a prompt."""
    return sorted(examples, key=lambda example: example.length)[:EXAMPLES]


def compare(packed: Packed, public: Public, examples: Sequence[Example], dtype: str) -> tuple[bool, float]:
    """Whether the two agree, and their largest difference in nats, at the first eps that tells slots apart.

    `packed` scores both signs at an eps, `public` the same signs again. Where no eps tells them apart, the last
    that is finite decides: overflow says nothing of the path.
    """
    judged: tuple[bool, float] | None = None
    for eps in _EPS:
        ours = packed(eps)
        if judged is not None and not all(map(math.isfinite, _flat(examples, ours))):
            break
        theirs = public()
        judged = verdict(examples, ours, theirs, dtype)
        told = moved(examples, theirs)
        small = judged[0] and told >= max(_CLEARLY * judged[1], _LEAST * _TOLERANCE[dtype])
        if small or told >= _CLEARLY * _TOLERANCE[dtype]:
            break
    assert judged is not None
    return judged


def moved(examples: Sequence[Example], scores: list[Scores]) -> float:
    """Largest difference between the signs, in nats."""
    plus, minus = (_flat(examples, [sign]) for sign in scores)
    return max(abs(a - b) for a, b in zip(plus, minus, strict=True))


def verdict(examples: Sequence[Example], packed: list[Scores], public: list[Scores], dtype: str) -> tuple[bool, float]:
    """Whether the two agree, and their largest difference in nats."""
    pairs = zip(_flat(examples, packed), _flat(examples, public), strict=True)
    worst = max((abs(a - b) for a, b in pairs), key=lambda value: (math.isnan(value), value))
    agreed = worst <= _TOLERANCE[dtype]
    if len(packed) == 2 and moved(examples, public) >= _CLEARLY * _TOLERANCE[dtype]:
        # Signs that are swapped, or a slot that does nothing, differ by half of what the slots move.
        agreed = agreed and worst <= moved(examples, public) / 4
    return agreed, worst


def _flat(examples: Sequence[Example], scores: list[Scores]) -> list[float]:
    """All scores in a row: short of a constant where only options were scored."""
    relative = one_token_options(examples)
    return [value - row[0] if relative else value for sign in scores for row in sign for value in row]
