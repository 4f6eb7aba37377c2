"""INT, TERM and HUP, once and twice: the engine saves and says that it was interrupted."""

from __future__ import annotations

import signal
from itertools import product

from engine.protocol.events import Done, State, Step
from tests.faults.trial import Outcome, Trial
from tests.faults.workshop import Workshop

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def once_and_twice(shop: Workshop, outcome: Outcome) -> None:
    """Within a step and within an evaluation; a second signal at once ends without saving, and loses nothing."""
    kinds = list(product(_SIGNALS, ("step", "evaluation"), (1, 2)))
    if not shop.long:  # every signal, both moments, once and twice
        kinds = [
            (signal.SIGTERM, "step", 1),
            (signal.SIGINT, "evaluation", 1),
            (signal.SIGHUP, "step", 2),
            (signal.SIGTERM, "evaluation", 2),
        ]
    trial = Trial(shop, outcome, steps=240 if shop.long else 120)
    for number, moment, times in kinds:
        _interrupt(trial, number, moment, times)
        outcome.tried += 1
    trial.finish()


def _interrupt(trial: Trial, number: signal.Signals, moment: str, times: int) -> None:
    engine = trial.start()
    engine.until(Step)
    if moment == "evaluation":
        engine.until(State, state="evaluating")
    for _ in range(times):
        engine.process.send_signal(number)
    code = engine.finish()
    what = f"{number.name} {'twice ' * (times > 1)}during a {moment}"
    assert code == 130, f"{what}: the engine ended with {code}, not 130"
    trial.ended(engine)
    done = engine.of(Done)
    if times > 1 and not done:
        return  # it ended at once, as it should
    assert done and done[-1].outcome == "stopped", f"{what}: the engine did not say that it stopped"
    assert done[-1].steps == trial.steps_done, f"{what}: said {done[-1].steps} steps, journaled {trial.steps_done}"
    saved = trial.run.checkpoints / f"step-{trial.steps_done:08d}"
    assert list(saved.glob("*.safetensors")), f"{what}: nothing was saved"
