"""Whoever reads the events is slow or stuck: no step waits for them."""

from __future__ import annotations

import fcntl
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from engine.protocol.events import AnyEvent, Step
from tests.faults.evidence import whole_lines
from tests.faults.trial import Outcome, Trial
from tests.faults.workshop import Workshop, wait_for
from tests.live_engine import Client, Engine

_MOST = 1.05  # times the median step with a quick reader
_PAGE = 4096  # bytes: a pipe as small as there is, full after a few steps


def slow_and_stuck(shop: Workshop, outcome: Outcome) -> None:
    """In turns within one run: stretches with a quick reader, a slow one, and two that do not read at all."""
    counted, rounds = shop.tries(12, 100), shop.tries(1, 6)
    trial = Trial(shop, outcome, steps=rounds * sum((reader.settling + 1) * counted for reader in _READERS))
    engine = trial.start()
    assert engine.process.stdout
    fcntl.fcntl(engine.process.stdout, fcntl.F_SETPIPE_SZ, _PAGE)
    engine.until(Step)
    ends: list[tuple[str, int]] = []
    for reader in _READERS * rounds:
        end = (ends[-1][1] if ends else 0) + (reader.settling + 1) * counted
        reader.read(engine, lambda end=end: trial.run.journal_file.read_bytes().count(b"\n") >= end)
        ends.append((reader.name, end))
        outcome.tried += reader.name != "quick"
    trial.finish(engine)
    taken = [json.loads(line)["seconds"] for line in whole_lines(trial.run)]
    medians = {
        reader.name: statistics.median(
            seconds for name, end in ends if name == reader.name for seconds in taken[end - counted : end]
        )
        for reader in _READERS
    }
    quick = medians.pop("quick")
    ratios = {name: median / quick for name, median in medians.items()}
    outcome.notes.append("a step takes " + ", ".join(f"{ratio:.3f}x ({name})" for name, ratio in ratios.items()))
    if shop.long:  # a handful of steps on a busy machine says nothing
        for name, ratio in ratios.items():
            assert ratio <= _MOST, f"a {name} reader makes a step {ratio:.3f} times as long"


def _quick(engine: Engine, over: Callable[[], bool]) -> None:
    """Reads whatever comes, and looks at the journal now and then."""
    looked = time.monotonic()

    def enough(event: AnyEvent) -> bool:
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


def _stuck_on_the_socket(engine: Engine, over: Callable[[], bool]) -> None:
    """Beside a quick one on the pipe."""
    with Client(engine.run):
        _quick(engine, over)


@dataclass(frozen=True)
class _Reader:
    name: str
    read: Callable[[Engine, Callable[[], bool]], None]
    settling: int = 1  # stretches that go by before its own: buffers fill or empty


_READERS = (
    _Reader("quick", _quick),
    _Reader("slow", _slow),
    _Reader("stuck", _stuck),
    _Reader("stuck on the socket", _stuck_on_the_socket, settling=3),  # whose buffer holds some 250 events
)
