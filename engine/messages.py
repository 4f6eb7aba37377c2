"""The typed messages between the engine and whatever launched it or is attached to it, as JSON lines.

The engine writes events to its standard output, and to every client of the control socket in the run's
directory; commands come from its standard input and from those clients. Each line is one JSON object
whose `type` names the message. A client may trust nothing of what it reads, and neither does the engine.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from engine.plain import is_plain, plain

StateName = Literal["starting", "running", "pausing", "paused", "evaluating", "checkpointing", "stopping"]
"""What the engine is doing; `pausing` and `stopping` wait for the step in flight."""

Whole = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A count or an amount: what is too large for arithmetic with floats is refused at the door."""

Number = Annotated[float, msgspec.Meta(ge=-1e100, le=1e100)]
"""A measured number: what overflows when it is squared or subtracted is refused as well."""


Positive = Annotated[float, msgspec.Meta(gt=0, le=1e30)]

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
    seconds: Number = 0.0  # wall-clock of this engine so far, without pauses
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


class GpuReading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One GPU of the machine; null for what its driver does not tell."""

    name: str
    index: Whole  # as the driver counts them
    ours: bool  # whether the run is on it
    memory_used: Whole  # bytes, by every process
    memory_total: Whole  # bytes
    utilisation: Number | None = None  # 0..1
    temperature: Number | None = None  # degrees Celsius
    power: Number | None = None  # watts
    power_limit: Number | None = None  # watts


class Telemetry(Event, frozen=True):
    """Memory, load and KV-cache use, about once a second. Memory in bytes; null without a GPU."""

    kv_cache_usage: Number | None  # 0..1 of the KV space that scoring owns
    gpu_memory_used: Whole | None
    gpu_memory_total: Whole | None
    gpu_utilisation: Number | None  # 0..1
    rss: Whole  # resident memory of the engine and its children, bytes
    cpu: Number  # processor use of the engine and its children, 1.0 = one core
    gpus: list[GpuReading] = []  # every GPU there is; the fields above are about the one that the run is on


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


class Changed(Event, frozen=True):
    """The settings that are in force from `step` on, once `Change` is on record."""

    step: Whole
    lr: Number  # before the schedule
    eps: Number
    eval_every: Whole  # 0: only before and after


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one state of the weights makes of a prompt: a text, or probabilities of the options that sum to 1."""

    text: str = ""
    probabilities: list[Number] = []


class Tried(Event, frozen=True):
    """The answer to `Try`; it has moved nothing."""

    id: Whole
    step: Whole  # steps done
    prompt: str  # as it was given to the model
    options: list[str] = []
    label: Whole | None = None  # which option is right, of an example
    now: Answer | None = None  # null where it could not be answered, and `note` says why
    base: Answer | None = None  # of the model that the run began with; null likewise
    note: str = ""
    seconds: Number = 0.0


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


AnyEvent = Hello | Phase | Step | Telemetry | Eval | Checkpoint | Changed | Tried | State | Log | Error | Done


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


class Change(Command, frozen=True):
    """Use these settings from the next step on; null leaves one as it is. Answered by `Changed`."""

    lr: Positive | None = None
    eps: Positive | None = None
    eval_every: Whole | None = None  # 0: only before and after


class Try(Command, frozen=True):
    """Answer a prompt with the weights as they are, and with those of the base model. Answered by `Tried`."""

    id: Whole  # given back with the answer
    prompt: str = ""
    options: list[str] = []  # their probabilities are asked for; without any, a text that goes on from the prompt
    example: Whole | None = None  # take this one of the validation split instead, counted from 0
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=512)] = 48  # of a text


AnyCommand = Pause | Resume | Save | Evaluate | Stop | Change | Try

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
    return _plain(_decode(_event_decoder, line))


def decode_command(line: bytes | str) -> AnyCommand:
    """Parse one command line. Raises `msgspec.DecodeError` for anything else."""
    return _decode(_command_decoder, line)


def _plain(value: Any) -> Any:
    """The same with every text made plain, however deep it lies; most messages hold none that is not."""
    if isinstance(value, str):
        return value if is_plain(value) else plain(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {_plain(key): _plain(one) for key, one in value.items()}
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        changed = {name: new for name, old in fields.items() if (new := _plain(old)) != old}
        return msgspec.structs.replace(value, **changed) if changed else value
    return value


def _decode(decoder: msgspec.json.Decoder[_Message], line: bytes | str) -> _Message:
    try:
        # As text, since msgspec does not look at the bytes of fields that it skips.
        return decoder.decode(line.decode() if isinstance(line, bytes) else line)
    except msgspec.DecodeError:
        raise
    except (ValueError, RecursionError) as error:  # not UTF-8, nested too deeply
        raise msgspec.DecodeError(f"{type(error).__name__}: {error}") from None
