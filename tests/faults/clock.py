"""The clock of the machine jumps by a day, back and forth; the run's durations stay what they were."""

from __future__ import annotations

from engine.protocol.events import Checkpoint, Done, Eval, Step
from engine.runs.timing import time_spent
from tests.faults.trial import Outcome, Trial
from tests.faults.workshop import Workshop

# Read by every Python that is started with this folder on its path, before anything else is imported.
_JUMPING = '''
"""Every reading of the wall clock may be a day early or late."""
import os, random, time
_real, _real_ns, _jumps = time.time, time.time_ns, open(os.environ["ZOTUI_TEST_JUMPS"], "ab", buffering=0)
def _jump():
    days = random.choice((-1, 0, 1))
    if days: _jumps.write(b".")
    return days * 86_400
time.time = lambda: _real() + _jump()
time.time_ns = lambda: _real_ns() + _jump() * 10**9
'''


def jumps(shop: Workshop, outcome: Outcome) -> None:
    """In the engine, its libraries and whatever they start, over a kill and a resume."""
    folder = shop.folder / "clock"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_JUMPING)
    counter = folder / "jumps"
    environment = {
        "PYTHONPATH": f"{folder}:{shop.environment['PYTHONPATH']}",
        "ZOTUI_TEST_JUMPS": str(counter),
    }
    trial = Trial(shop, outcome)
    for at in range(20, 20 + 10 * shop.tries(1, 5), 10):
        engine = trial.start(environment)
        engine.until(Step, step=at)
        trial.killed(engine)
    engine = trial.start(environment)
    trial.finish(engine)
    outcome.tried += counter.stat().st_size
    (done,) = engine.of(Done)
    timed = (Step, Eval, Checkpoint)
    durations = [event.seconds for kind in timed for event in engine.of(kind)]
    spent = time_spent(trial.run)
    for seconds in (*durations, done.seconds, *spent.values()):
        assert 0 <= seconds < 600, f"a duration of {seconds} s"
