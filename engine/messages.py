"""The typed messages between the engine and whatever launched it or is attached to it, as JSON lines.

The engine writes events to its standard output, and to every client of the control socket in the run's
directory; commands come from its standard input and from those clients. Each line is one JSON object
whose `type` names the message. A client may trust nothing of what it reads, and neither does the engine.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal, TypeVar

import msgspec

from engine.plain import is_plain, plain

StateName = Literal["starting", "running", "pausing", "paused", "evaluating", "checkpointing", "stopping"]
"""What the engine is doing; `pausing` and `stopping` wait for the step in flight."""

Whole = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A count or an amount: what is too large for arithmetic with floats is refused at the door."""

Number = Annotated[float, msgspec.Meta(ge=-1e100, le=1e100)]
"""A measured number: what overflows when it is squared or subtracted is refused as well."""


_Message = TypeVar("_Message")


class Event(msgspec.Struct, tag_field="type", tag=str.lower, frozen=True, kw_only=True):
    """Base of everything the engine says."""


class Hello(Event, frozen=True):
    """First event of a run, once the engine knows what it runs on; first of all to a client that comes later.

    Every step from `first_step` on follows as an event; those before it are in the journal.
    """

    run: str  # path of the run's directory
    name: str  # the run's name
    preset: str
    model: str
    runtime: str  # vllm | training-loop
    device: str  # e.g. "cpu", "cuda:0 (NVIDIA H200)"
    dtype: str
    steps: Whole  # how many steps the run has in all
    first_step: Whole = 0  # > 0 when resumed, and for a client that comes later
    seconds: Number = 0.0  # wall-clock of this engine so far
    noise: Number | None = None  # nats: what |L+ - L-| must exceed to mean anything, as measured at the start
    pid: Whole = 0
    versions: dict[str, str] = {}


class Phase(Event, frozen=True):
    """Progress of the start-up: loading, warm-up, ..."""

    name: str
    progress: Number | None = None  # 0..1; null when it cannot be known
    detail: str = ""


class Step(Event, frozen=True, omit_defaults=True):
    """One optimisation step. Losses are natural-log cross entropies, seconds are wall-clock.

    The first step after a fold also tells how much of the intended update the run still has: the weights,
    with their residuals where there are any.
    """

    step: Whole
    loss: Number  # (loss_plus + loss_minus) / 2
    loss_plus: Number
    loss_minus: Number
    projected_grad: Number
    lr: Number
    tokens: Whole  # tokens scored in this step, both signs
    seconds: Number
    tokens_per_s: Number
    update_kept: Number | None = None  # <applied, intended> / |intended|^2: 1.0 is all of it
    update_cosine: Number | None = None  # of applied and intended: what rounding noise leaves


class Telemetry(Event, frozen=True):
    """Memory, load and KV-cache use, about once a second. Memory in bytes; null without a GPU."""

    kv_cache_usage: Number | None  # 0..1 of the KV space that scoring owns
    gpu_memory_used: Whole | None
    gpu_memory_total: Whole | None
    gpu_utilisation: Number | None  # 0..1
    rss: Whole  # resident memory of the engine and its children, bytes
    cpu: Number  # processor use of the engine and its children, 1.0 = one core


class Eval(Event, frozen=True):
    """An evaluation of one split: `metrics` holds `loss` and, for classification, `accuracy`."""

    step: Whole  # steps done when it was taken: 0 is before training
    split: str
    metrics: dict[str, Number]
    examples: Whole
    seconds: Number


class Checkpoint(Event, frozen=True):
    """A checkpoint that is complete on disk."""

    step: Whole  # steps done
    path: str
    seconds: Number


class State(Event, frozen=True):
    """A change of what the engine does; every command is answered by one.

    `paused` with a reason is the engine's own doing: it cannot go on, and the reason says what to try. If
    `waits`, it tries again by itself.
    """

    state: StateName
    step: Whole  # steps done
    reason: str = ""
    waits: bool = False


class Log(Event, frozen=True):
    """A line for people."""

    level: Literal["debug", "info", "warning", "error"]
    text: str


class Error(Event, frozen=True):
    """Why the run ended early. `usage` means that the user can mend it and nothing was started."""

    kind: Literal["usage", "failure"]
    text: str


class Done(Event, frozen=True):
    """Last event of a run that was not an error."""

    outcome: Literal["finished", "stopped"]
    steps: Whole  # steps done in all
    seconds: Number  # wall-clock of this engine, start-up included
    metrics: dict[str, Number]  # of the last evaluation
    run: str
    time: dict[str, Number] | None = None  # seconds of the whole run by kind and in total; see `engine.stopwatch`


AnyEvent = Hello | Phase | Step | Telemetry | Eval | Checkpoint | State | Log | Error | Done


class Command(msgspec.Struct, tag_field="type", tag=str.lower, frozen=True, kw_only=True):
    """Base of everything the engine can be told; each acts within one step."""


class Pause(Command, frozen=True):
    """Hold after the step in flight, or before step 0 when still starting."""


class Resume(Command, frozen=True):
    """Go on after a pause."""


class Save(Command, frozen=True):
    """Write a checkpoint now."""


class Evaluate(Command, frozen=True):
    """Evaluate the validation split now."""


class Stop(Command, frozen=True):
    """Finish the step in flight, save a checkpoint and end."""


AnyCommand = Pause | Resume | Save | Evaluate | Stop

_event_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_command_decoder: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)
_encoder = msgspec.json.Encoder()


def encode(message: Event | Command) -> bytes:
    """One JSON line, newline included. Numbers that are not finite become null."""
    try:
        return _encoder.encode(message) + b"\n"
    except UnicodeEncodeError:  # a path that is not UTF-8: it is to be shown, no more
        text = json.dumps(msgspec.to_builtins(message), ensure_ascii=False)
        return text.encode(errors="replace") + b"\n"


def decode_event(line: bytes | str) -> AnyEvent:
    """Parse one event line, its texts made plain. Raises `msgspec.DecodeError` for anything else."""
    event = _decode(_event_decoder, line)
    texts = {name: value for name in event.__struct_fields__ if isinstance(value := getattr(event, name), str)}
    changed = {name: plain(value) for name, value in texts.items() if not is_plain(value)}
    return msgspec.structs.replace(event, **changed) if changed else event


def decode_command(line: bytes | str) -> AnyCommand:
    """Parse one command line. Raises `msgspec.DecodeError` for anything else."""
    return _decode(_command_decoder, line)


def _decode(decoder: msgspec.json.Decoder[_Message], line: bytes | str) -> _Message:
    try:
        # As text, since msgspec does not look at the bytes of fields that it skips.
        return decoder.decode(line.decode() if isinstance(line, bytes) else line)
    except msgspec.DecodeError:
        raise
    except (ValueError, RecursionError) as error:  # not UTF-8, nested too deeply
        raise msgspec.DecodeError(f"{type(error).__name__}: {error}") from None
