"""Whoever reads the events is slow or stuck: no step waits for them."""

from __future__ import annotations

import fcntl
import json
import statistics
import time
from collections.abc import Callable

from engine import messages

from ..live_engine import Engine
from .evidence import whole_lines
from .trial import Outcome, Trial
from .workshop import Workshop, wait_for

_MOST = 1.05  # times the median step with a quick reader
_SETTLING = 5  # steps at the beginning of a stretch that still belong to the one before
_PAGE = 4096  # bytes: a pipe as small as there is, full after a few steps


def slow_and_stuck(shop: Workshop, outcome: Outcome) -> None:
    """In turns within one run: stretches with a quick reader, a slow one, and one that does not read at all."""
    stretch, rounds = shop.tries(20, 100), shop.tries(2, 8)
    trial = Trial(shop, outcome, steps=3 * stretch * rounds)
    engine = trial.start()
    assert engine.process.stdout
    fcntl.fcntl(engine.process.stdout, fcntl.F_SETPIPE_SZ, _PAGE)
    engine.until(messages.Step)
    ends: list[tuple[str, int]] = []
    for number in range(3 * rounds):
        name, read = _READERS[number % 3]
        end = (number + 1) * stretch
        read(engine, lambda end=end: trial.run.journal_file.read_bytes().count(b"\n") >= end)
        ends.append((name, end))
        outcome.tried += name != "quick"
    trial.finish(engine)
    seconds: dict[str, list[float]] = {name: [] for name, _ in _READERS}
    taken = [json.loads(line)["seconds"] for line in whole_lines(trial.run)]
    for name, end in ends:
        seconds[name] += taken[end - stretch + _SETTLING : end]
    quick, *others = (statistics.median(seconds[name]) for name, _ in _READERS)
    ratios = {name: other / quick for (name, _), other in zip(_READERS[1:], others, strict=True)}
    outcome.notes.append(", ".join(f"step with a {name} reader {ratio:.3f}x" for name, ratio in ratios.items()))
    if shop.long:  # a handful of steps on a busy machine says nothing
        for name, ratio in ratios.items():
            assert ratio <= _MOST, f"a {name} reader makes a step {ratio:.3f} times as long"


def _quick(engine: Engine, over: Callable[[], bool]) -> None:
    """Reads whatever comes, and looks at the journal now and then."""
    looked = time.monotonic()

    def enough(event: messages.AnyEvent) -> bool:
        nonlocal looked
        if time.monotonic() - looked < 0.05:
            return False
        looked = time.monotonic()
        return over()

    engine.reach(enough)


def _slow(engine: Engine, over: Callable[[], bool]) -> None:
    events = engine.events()
    while not over():
        next(events, None)
        time.sleep(0.05)


def _stuck(engine: Engine, over: Callable[[], bool]) -> None:
    wait_for("the next stretch of steps", over, every=0.05)


_READERS: tuple[tuple[str, Callable[[Engine, Callable[[], bool]], None]], ...] = (
    ("quick", _quick),
    ("slow", _slow),
    ("stuck", _stuck),
)
