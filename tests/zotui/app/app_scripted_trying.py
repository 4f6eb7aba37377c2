"""A scripted engine of a run that is over: answers over a real pipe, at once; it has no model.

The script is JSON in the environment variable `SCRIPTED_TRYING`: `refuse`, an Error with this text instead of answers;
`pid`, a file to write its process id to; `hold`, a file before whose appearance it is not ready.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from engine.protocol.codec import decode_command, encode
from engine.protocol.commands import Try
from engine.protocol.events import Answer, Error, Event, Phase, Tried
from engine.protocol.findings import READY

script = json.loads(os.environ.get("SCRIPTED_TRYING", "{}"))


def say(event: Event) -> None:
    sys.stdout.buffer.write(encode(event))
    sys.stdout.buffer.flush()


def answer(asked: Try, step: int) -> Tried:
    if asked.example is not None:
        shares = Answer(probabilities=[0.125, 0.875]), Answer(probabilities=[0.5, 0.5])
        prompt = f"held-out review {asked.example}"
        return Tried(
            id=asked.id, step=step, prompt=prompt, options=["bad", "good"], label=1, now=shares[0], base=shares[1]
        )
    now, base = Answer(text="a joy from start to end"), Answer(text="the the the")
    return Tried(id=asked.id, step=step, prompt=asked.prompt, now=now, base=base)


if __name__ == "__main__":
    if script.get("pid"):
        with Path(script["pid"]).open("a") as file:
            file.write(f"{os.getpid()}\n")
    sys.stdin.buffer.readline()
    say(Phase(name="loading model", progress=0.4))
    if script.get("refuse"):
        say(Error(kind="usage", text=script["refuse"]))
        sys.exit(2)
    while script.get("hold") and not Path(script["hold"]).exists():
        time.sleep(0.01)
    step = 120 if "--step=best" in sys.argv else 200
    say(Phase(name=READY, progress=1.0))
    for line in sys.stdin.buffer:
        command = decode_command(line)
        assert isinstance(command, Try)
        say(answer(command, step))
