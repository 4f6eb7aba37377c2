"""A scripted tuning: the findings of one that took minutes, at once, over a real pipe; it tries nothing.

The script is JSON in the environment variable `SCRIPTED_TUNING`: `refuse`, an Error with this text before any trial;
`unknown`, probes that suggest no rate; `hang`, in the middle of a trial; `die`, there, with this exit code.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from engine.protocol.codec import encode
from engine.protocol.events import Error, Event, Log, Phase
from engine.protocol.findings import Guess, Proposal, Scale, Trial

script = json.loads(os.environ.get("SCRIPTED_TUNING", "{}"))


def say(event: Event) -> None:
    sys.stdout.buffer.write(encode(event))
    sys.stdout.buffer.flush()


def trial(number: int, lr: float, standing: str, steps: int, validation: float | None, why: str = "") -> Trial:
    accuracy = None if validation is None else round(1.2 - validation, 3)
    loss = 9.1 if validation is None else validation + 0.02
    return Trial(
        number=number, lr=lr, eps=1e-3, steps=steps, standing=standing, loss=loss, validation=validation,
        accuracy=accuracy, tokens=600 * steps, seconds=0.05 * steps, why=why,
    )  # fmt: skip


def tune() -> int:
    say(Phase(name="loading model", progress=0.4))
    if script.get("refuse"):
        say(Error(kind="usage", text=script["refuse"]))
        return 2
    say(Log(level="warning", text="the validation split has 200 examples: all are used"))
    say(Scale(eps=1e-3, difference=0.005, noise=1e-7, error=0.0123))
    lr = None if script.get("unknown") else 2e-4
    say(
        Guess(
            lr=lr, eps=1e-3, noise=1e-7, gradient=2.5, slope=1.0, slope_error=0.5, curvature=300.0, curvature_error=50.0
        )
    )
    found = [
        trial(1, 1e-6, "evaluated", 50, 0.657),
        trial(2, 2.5e-5, "evaluated", 50, 0.651),
        trial(3, 5e-5, "evaluated", 50, 0.62),
        trial(4, 1e-4, "evaluated", 50, 0.58),
        trial(5, 2e-4, "evaluated", 50, 0.57),
        trial(6, 4e-4, "diverged", 31, None, "its training loss has grown to 9.1 by step 31"),
        trial(1, 1e-6, "behind", 50, 0.657),
        trial(2, 2.5e-5, "behind", 50, 0.651),
    ]
    for one in found:
        say(one)
    say(Phase(name="trial", detail="4, lr 0.0001: step 77"))
    if script.get("hang"):
        signal.pause()
    if script.get("die"):
        return int(script["die"])
    for one in (trial(4, 1e-4, "evaluated", 200, 0.44), trial(5, 2e-4, "evaluated", 200, 0.47)):
        say(one)
    say(trial(4, 1e-4, "chosen", 200, 0.44))
    say(Proposal(lr=1e-4, eps=1e-3, before=0.66, validation=0.44, steps=200, trials=6, seconds=65.0))
    return 0


if __name__ == "__main__":
    try:
        code = tune()
    except KeyboardInterrupt:
        code = 130
    sys.stdout.flush()
    os._exit(code)
