"""Frames that are no commands: none has an effect, and what follows them is still heard."""

from __future__ import annotations

import json
import random

import msgspec

from engine.protocol.codec import decode_command, encode
from engine.protocol.commands import Pause, Resume, Save, Stop
from engine.protocol.events import State, Step
from tests.faults.trial import Outcome, Trial
from tests.faults.workshop import Workshop
from tests.live_engine import Client

_COMMANDS = [encode(kind()) for kind in (Pause, Resume, Save, Stop)]


def pipe_and_socket(shop: Workshop, outcome: Outcome) -> None:
    """During the start-up and the steps, from the launcher and from clients that come and go."""
    chance = shop.chance("fuzz")
    trial = Trial(shop, outcome)
    engine = trial.start()
    frames = [_frame(chance) for _ in range(shop.tries(1000, 10_000))]
    half = len(frames) // 2
    engine.tell(b"".join(frames[:half]))
    engine.until(Step)
    engine.tell(b"".join(frames[half:]))
    for start in range(0, len(frames), 100):
        with Client(trial.run) as client:
            client.tell(b"".join(frames[start : start + 100]))
            client.tell(frames[start][:-1])  # and gone in the middle of a line
    outcome.tried += 2 * len(frames)
    engine.send(Pause())  # is it still listening?
    engine.until(State, state="paused")
    with Client(trial.run) as client:
        client.send(Resume())
        engine.until(State, state="running")
    states = {event.state for event in engine.of(State)}
    assert states <= {"running", "evaluating", "checkpointing", "pausing", "paused"}, f"a frame had an effect: {states}"
    assert sum(event.state == "paused" for event in engine.of(State)) == 1, "a frame has paused the run"
    trial.finish(engine)


def _frame(chance: random.Random) -> bytes:
    """A line that is no command."""
    while True:
        line = chance.choice(_KINDS)(chance).replace(b"\n", b" ") + b"\n"
        try:
            decode_command(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return line


def _noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.randrange(200))


def _flipped(chance: random.Random) -> bytes:
    command = bytearray(chance.choice(_COMMANDS))
    command[chance.randrange(len(command))] ^= 1 << chance.randrange(8)
    return bytes(command)


def _cut(chance: random.Random) -> bytes:
    command = chance.choice(_COMMANDS)
    return command[: chance.randrange(len(command) - 1)]


def _glued(chance: random.Random) -> bytes:
    return chance.choice(_COMMANDS).strip() + chance.choice(_COMMANDS)


def _odd_json(chance: random.Random) -> bytes:
    odd = [None, 7, 1e308, "stop", ["stop"], {}, {"type": None}, {"type": ["stop"]}, {"type": "STOP"}, {"type": "done"}]
    return json.dumps(chance.choice(odd)).encode()


def _deep(chance: random.Random) -> bytes:
    return chance.choice([b"[", b'{"type":']) * chance.randrange(100_000)


def _long(chance: random.Random) -> bytes:
    return b'{"type": "' + b"x" * chance.randrange(200_000) + b'"}'


_KINDS = (*(_noise, _flipped, _cut, _glued, _odd_json) * 10, _deep, _long)
