"""What a preflight, a tuning, `zotui eval`, `zotui try` and `zotui presets new` find, as JSON lines.

What a run would start on, and what it takes; which rate suits; what a state of a run makes of a task or a prompt; which
preset suits somebody's own data.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from engine.protocol.events import Error, Event, Log, Phase, Tried
from engine.protocol.numbers import Number, Whole

READY = "ready"
"""The phase in which prompts are answered; what is asked before that is answered then."""


class Model(Event, frozen=True):
    """The model, by its configuration."""

    path: str  # as the preset names it
    architecture: str
    parameters: Whole
    scope: Whole  # how many of them move
    matrices: Whole  # that those are in
    context: Whole  # tokens
    download: Whole = 0  # bytes that are not here yet
    still: str = ""  # which share moves, and what does not
    adapter: bool = False  # whether what moves is beside the model's own, on so many matrices


class Setting(Event, frozen=True):
    """How it would run."""

    runtime: str
    why: str
    device: str
    dtype: str
    updates: str  # how they are kept in weights of this precision


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """A text as the model sees it."""

    text: str
    tokens: Whole


class Data(Event, frozen=True):
    """The examples, the first one filled into the template."""

    train: Whole
    validation: Whole
    longest: Whole  # tokens of the longest sequence
    objective: str
    prompt: Text
    options: list[Text]
    label: Whole  # which option is right
    notes: list[str] = []  # what is worth knowing of them, such as how many there are of each class


class Room(Event, frozen=True):
    """What a run takes of something, in bytes, part by part, against what there is."""

    of: Literal["memory", "host memory", "disk"]
    needed: Whole
    available: Whole
    where: str
    parts: dict[str, Whole]


class Estimate(Event, frozen=True):
    """How long the run will take, in seconds, from a few steps and a slice of an evaluation. No measurement of it."""

    step: Number  # its share of a fold included
    tokens_per_s: Number
    evaluation: Number  # of the whole validation split
    evaluations: Whole
    start_up: Number
    total: Number


class Outlook(Event, frozen=True):
    """What a preset needs by its configuration alone; bytes are 0 where they are not known."""

    source: str  # the preset's file
    fits: Literal["yes", "no", "unknown"]
    why: str  # it does not, or is not known
    parameters: Whole = 0
    memory: Whole = 0  # about; the data says how long a sequence is
    disk: Whole = 0  # checkpoints and journal
    download: Whole = 0  # about, of a model that is not here yet


class Scale(Event, frozen=True):
    """What probes at one eps are worth; see `engine.tune.scales`."""

    eps: Number
    difference: Number  # nats: root of the mean square of L+ - L-
    noise: Number  # of that, nats
    error: Number  # of a gradient, relative: noise, and how far the loss is from linear


class Guess(Event, frozen=True):
    """A first rate and eps, from probes alone; see `engine.tune.rates`. Null is what could not be told from noise."""

    lr: Number | None
    eps: Number
    noise: Number
    gradient: Number | None  # root of the mean square
    slope: Number | None
    slope_error: Number | None
    curvature: Number | None
    curvature_error: Number | None


class Trial(Event, frozen=True):
    """A trial, each time that it was evaluated or given up; the last one of a number is what became of it.

    `behind` were others further, `diverged` tells why, `chosen` is the one proposed.
    """

    number: Whole
    lr: Number
    eps: Number
    steps: Whole  # taken
    standing: Literal["evaluated", "behind", "diverged", "chosen"]
    loss: Number | None  # of training, mean of the last steps
    validation: Number | None
    accuracy: Number | None
    tokens: Whole
    seconds: Number  # of its steps
    why: str = ""


class Proposal(Event, frozen=True):
    """What a tuning proposes."""

    lr: Number
    eps: Number
    before: Number  # validation loss of the model as it is
    validation: Number  # and after the trial that is proposed
    steps: Whole  # that it took
    trials: Whole
    seconds: Number  # of all of it


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Why a key has the value that it has."""

    key: str
    why: str


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A row as the model sees it."""

    prompt: str
    options: list[str]
    label: Whole = 0  # which option is right


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A column of somebody's own data."""

    name: str
    holds: str  # text, number, truth, texts, messages, nothing, other
    role: str  # the key of `[task]` that asks for it; empty where none does
    sample: str  # what the first row has there


class Draft(Event, frozen=True, kw_only=True):
    """A preset that is proposed for somebody's own data."""

    text: str  # TOML, with why each key was chosen above it
    why: list[Why]
    checks: list[str]  # what only whoever knows the data can tell
    rows: list[Shown]  # the first ones
    columns: list[Seen] = []
    train: Whole  # rows
    validation: Whole


class Evaluated(Event, frozen=True, kw_only=True, tag="eval"):
    """What a model, or a state of a run, makes of a split of a task; and the run's record of it."""

    step: Whole  # of the run's: 0 is the model as it came
    split: str
    metrics: dict[str, Number]
    intervals: dict[str, tuple[Number, Number]]  # of 95%, of the metrics that are shares of examples
    examples: Whole
    generated: Whole = 0  # texts, of which `f1` and `exact_match` are
    task: str  # its name, or its kind
    source: str  # where the examples are from
    shots: Whole
    model: str  # as the preset names it
    run: str = ""  # its path
    runtime: str
    device: str
    dtype: str
    versions: dict[str, str]
    when: Number  # seconds since the epoch
    seconds: Number  # of the evaluation itself


Finding = (
    Phase
    | Log
    | Error
    | Model
    | Setting
    | Data
    | Room
    | Estimate
    | Outlook
    | Scale
    | Guess
    | Trial
    | Proposal
    | Draft
    | Evaluated
    | Tried
)

_decoder: msgspec.json.Decoder[Finding] = msgspec.json.Decoder(Finding)


def decode(line: bytes) -> Finding:
    """A line of a preflight, a tuning or an evaluation. Raises `msgspec.DecodeError`."""
    return _decoder.decode(line)
