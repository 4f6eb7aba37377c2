"""Others that reach for a run: a second engine, and `zotui stop` from another shell."""

from __future__ import annotations

from engine.protocol.commands import Pause
from engine.protocol.events import State, Step
from tests.faults.trial import Outcome, Trial
from tests.faults.workshop import Workshop
from tests.live_engine import Engine


def second_engine(shop: Workshop, outcome: Outcome) -> None:
    """Refused while the first is at work; of two that are started at the same moment one is."""
    trial = Trial(shop, outcome)
    first = trial.start()
    _hold(first)
    for _ in range(shop.tries(1, 4)):
        trial.refused("live")
        trial.look()
        outcome.tried += 1
    trial.killed(first)
    both = [trial.start(), trial.start()]
    codes = [engine.finish() for engine in both]
    outcome.tried += 1
    assert sorted(codes) == [0, 2], f"two engines at once ended with {codes}"
    for engine in both:
        trial.ended(engine)
    trial.compare()


def _hold(engine: Engine) -> None:
    """After a step, where it stays: on a quick machine the run would be over before anybody has come."""
    engine.until(Step)
    engine.send(Pause())
    engine.until(State, state="paused")


def zotui_stop(shop: Workshop, outcome: Outcome) -> None:
    """From a process that has nothing to do with the engine; then resumed."""
    trial = Trial(shop, outcome)
    for _ in range(shop.tries(1, 5)):
        engine = trial.start()
        _hold(engine)
        stopped = shop.zotui("stop", str(trial.run.path))
        assert stopped.returncode == 0, f"zotui stop ended with {stopped.returncode}: {stopped.stderr.strip()}"
        code = engine.finish()
        assert code == 130, f"the stopped engine ended with {code}"
        trial.ended(engine)
        standing = trial.run.summary().standing
        assert standing == "stopped", f"the stopped run is {standing}"
        outcome.tried += 1
    trial.finish()
