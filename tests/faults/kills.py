"""SIGKILL at every kind of moment: one run, killed and resumed again and again until it is finished."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable

from engine.protocol.events import Hello, Phase, State, Step
from tests.faults.trial import Outcome, Trial
from tests.faults.workshop import INTERVAL, Workshop
from tests.live_engine import Engine

Moment = Callable[[Trial, Engine, random.Random], bool]
"""Waits for a moment in an engine's life; False when the engine ended before."""


def training_loop(shop: Workshop, outcome: Outcome) -> None:
    """On the conventional loop, whose weights move with every step."""
    _kill_again_and_again(shop, outcome, "training-loop", kills=shop.tries(7, 50), steps=shop.tries(120, 400))


def vllm(shop: Workshop, outcome: Outcome) -> None:
    """On vLLM, which keeps what was learned in slots until the next fold."""
    _kill_again_and_again(shop, outcome, "vllm", kills=shop.tries(2, 12), steps=shop.tries(50, 120))


def _kill_again_and_again(shop: Workshop, outcome: Outcome, runtime: str, *, kills: int, steps: int) -> None:
    chance = shop.chance(f"kills {runtime}")
    trial = Trial(shop, outcome, runtime=runtime, steps=steps)
    hit: Counter[str] = Counter()
    moments = list(MOMENTS)
    while outcome.tried < kills:
        if not hit.total() % len(moments):
            chance.shuffle(moments)  # every kind of moment before any comes again
        name = moments[hit.total() % len(moments)]
        if name == "replay" and trial.steps_done == 0:
            name = "step"
        engine = trial.start()
        if not MOMENTS[name](trial, engine, chance):
            raise AssertionError(f"the run was over after {outcome.tried} kills; it needs more steps")
        trial.killed(engine)
        hit[name] += 1
        outcome.tried += 1
    trial.finish()
    outcome.notes.append(", ".join(f"{name} {count}" for name, count in sorted(hit.items())))


def _start_up(trial: Trial, engine: Engine, chance: random.Random) -> bool:
    phase = chance.choice(["preparing", "checking", "loading data", "loading model"])
    found = engine.reach(lambda event: isinstance(event, Phase) and event.name == phase)
    time.sleep(chance.random() * 0.2)
    return found


def _step(trial: Trial, engine: Engine, chance: random.Random) -> bool:
    for _ in range(chance.randint(1, 5)):
        if not engine.reach(lambda event: isinstance(event, Step)):
            return False
    return _within_the_next_step(engine, chance)


def _fold(trial: Trial, engine: Engine, chance: random.Random) -> bool:
    """The step whose V is drawn anew."""
    if not engine.reach(lambda event: isinstance(event, Step) and (event.step + 1) % INTERVAL == 0):
        return False
    return _within_the_next_step(engine, chance)


def _within_the_next_step(engine: Engine, chance: random.Random) -> bool:
    time.sleep(chance.random() * engine.seen[-1].seconds)  # type: ignore[union-attr]
    return True


def _evaluation(trial: Trial, engine: Engine, chance: random.Random) -> bool:
    return _state(engine, "evaluating", chance)


def _checkpoint(trial: Trial, engine: Engine, chance: random.Random) -> bool:
    return _state(engine, "checkpointing", chance)


def _state(engine: Engine, state: str, chance: random.Random) -> bool:
    found = engine.reach(lambda event: isinstance(event, State) and event.state == state)
    time.sleep(chance.random() * 0.02)
    return found


def _journal_write(trial: Trial, engine: Engine, chance: random.Random) -> bool:
    """As soon as the journal is longer, without a look at the events, which come later."""
    if not engine.reach(lambda event: isinstance(event, Hello)):
        return False
    size, journal = _size(trial), trial.run.journal_file
    for _ in range(chance.randint(1, 3)):
        while (now := _size(trial)) <= size:
            if engine.process.poll() is not None:
                return False
        size = now
    return journal.exists()


def _size(trial: Trial) -> int:
    try:
        return trial.run.journal_file.stat().st_size
    except FileNotFoundError:
        return 0


def _replay(trial: Trial, engine: Engine, chance: random.Random) -> bool:
    """Of the whole journal: the checkpoints that would shorten it are taken away before they are looked for."""
    shutil.rmtree(trial.run.checkpoints, ignore_errors=True)
    found = engine.reach(lambda event: isinstance(event, Phase) and event.name == "replaying the journal")
    time.sleep(chance.random() * 0.2)
    return found


MOMENTS: dict[str, Moment] = {
    "start-up": _start_up,
    "replay": _replay,
    "step": _step,
    "fold": _fold,
    "journal write": _journal_write,
    "evaluation": _evaluation,
    "checkpoint": _checkpoint,
}
