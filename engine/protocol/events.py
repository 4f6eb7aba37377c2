"""The typed messages between the engine and whatever launched it or is attached to it, as JSON lines.

The engine writes events to its standard output, and to every client of the control socket in the run's
directory; commands come from its standard input and from those clients. Each line is one JSON object
whose `type` names the message. A client may trust nothing of what it reads, and neither does the engine.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from engine.protocol.numbers import Number, Whole

StateName = Literal["starting", "running", "pausing", "paused", "evaluating", "checkpointing", "stopping"]
"""What the engine is doing; `pausing` and `stopping` wait for the step in flight."""


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


class Step(Event, frozen=True, omit_defaults=True, gc=False):
    """One optimisation step, as the method takes it, the journal keeps it and every client hears of it.

    With the run's seed its scalars are all that is needed to do it again. Losses are natural-log cross entropies,
    averaged over the directions; seconds are wall-clock; a number that a record does not tell is nan, a count 0.
    The first step after a fold also tells how much of the intended update the run still has: the weights, with
    their residuals where there are any.
    """

    step: Whole
    loss: Number = math.nan  # (loss_plus + loss_minus) / 2; loss_minus where only one side is scored
    loss_plus: Number = math.nan
    loss_minus: Number = math.nan
    projected_grad: Number = math.nan  # mean of the queries', as measured
    lr: Number = math.nan
    eps: Number = math.nan
    seed: int = 0  # of the run
    # Of every direction, a query's shards one after the other; none where there is only one. `losses_minus` are those
    # at W - eps Z, or at W itself where only one side is scored.
    losses_plus: tuple[Number, ...] = ()
    losses_minus: tuple[Number, ...] = ()
    weights: Literal["plain", "spread", "centred", "rank"] = "plain"  # what the gradients were weighed by
    radii: tuple[Number, ...] = ()  # in parts of eps, how far each query probed; none: as far as eps
    gradients: tuple[Number, ...] = ()  # instead, of every query, in runs that zotui 0.4 and earlier began
    # What drew the directions: "philox", a counter, the same on every device. Of runs that zotui 0.2 and earlier began
    # the kind of device: "cpu", or the model of a GPU.
    drew: str = ""
    # What scalars alone decided: see `engine.control`.
    clipped_at: Number | None = None  # gradients were cut down to this size; where none was larger, not told
    returned_to: Whole | None = None  # before this step the state was set to that after so many steps
    tokens: Whole = 0  # tokens scored in this step, both signs
    seconds: Number = 0.0
    tokens_per_s: Number = math.nan  # follows from the two, and is not in the journal
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


class Eval(Event, frozen=True, kw_only=True):
    """An evaluation of one split, and its record: `metrics` holds `loss` and, for classification, `accuracy`."""

    step: Whole  # steps done when it was taken: 0 is before training
    split: str = "validation"
    metrics: dict[str, Number]
    examples: Whole = 0
    generated: Whole | msgspec.UnsetType = msgspec.UNSET  # of these, for how many a text was generated, if for any
    seconds: Number = 0.0
    due: bool | msgspec.UnsetType = msgspec.UNSET  # with a ratchet or patience: false where asked for, or at the end

    @property
    def counts(self) -> bool:
        """Whether the ratchet, and patience, look at it."""
        return self.split == "validation" and self.due is not False


class Checkpoint(Event, frozen=True):
    """A checkpoint that is complete on disk."""

    step: Whole  # steps done
    path: str
    seconds: Number


class Changed(Event, frozen=True, omit_defaults=True):
    """What is in force from `step` on, once `Change` is on record; and that record."""

    step: Whole
    lr: Number  # before the schedule
    eps: Number
    eval_every: Whole  # 0: only before and after
    lr_set: bool = False  # whether the rate was given there: it holds from that step on, also where that one returns


class Returned(Event, frozen=True):
    """The ratchet went back: `step` was taken from the state after `to` steps, with this learning rate.

    It is not told again to who comes later; the step has it, too.
    """

    step: Whole
    to: Whole
    lr: Number  # of that step


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
    """Why the run ended early.

    `usage` means that the user can mend it and nothing was started; `start` that something failed which nobody foresaw,
    and nothing was started either.
    """

    kind: Literal["usage", "start", "failure"]
    text: str


class Done(Event, frozen=True):
    """Last event of a run that was not an error."""

    outcome: Literal["finished", "stopped"]
    steps: Whole  # steps done in all
    seconds: Number  # wall-clock of this engine, start-up included
    metrics: dict[str, Number]  # of the last evaluation
    run: str
    time: dict[str, Number] | None = (
        None  # seconds of the whole run by kind and in total; see `engine.training.stopwatch`
    )
    reason: str = ""  # why it finished before its last step


AnyEvent = (
    Hello | Phase | Step | Telemetry | Eval | Checkpoint | Changed | Returned | Tried | State | Log | Error | Done
)
