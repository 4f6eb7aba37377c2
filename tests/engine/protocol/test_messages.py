"""Messages survive the pipe, and nothing else does."""

import json
import math

import msgspec
import pytest

from engine.protocol.codec import decode_command, decode_event, encode
from engine.protocol.commands import AnyCommand, Change, Evaluate, Pause, Resume, Save, Stop, Try
from engine.protocol.events import (
    Answer,
    AnyEvent,
    Changed,
    Checkpoint,
    Done,
    Error,
    Eval,
    Hello,
    Log,
    Phase,
    Returned,
    State,
    Step,
    Telemetry,
    Tried,
)

STEP = Step(
    step=0,
    loss=0.5,
    loss_plus=0.6,
    loss_minus=0.4,
    projected_grad=100.0,
    lr=1e-6,
    tokens=7,
    seconds=0.1,
    tokens_per_s=70.0,
)
EVENTS = [
    Hello(run="/r", name="r", preset="p", model="m", runtime="vllm", device="cpu", dtype="float32", steps=3),
    Phase(name="loading", progress=0.5, detail="weights"),
    STEP,
    msgspec.structs.replace(STEP, step=50, update_kept=0.999, update_cosine=0.998),
    Telemetry(kv_cache_usage=None, gpu_memory_used=None, gpu_memory_total=None, gpu_utilisation=None, rss=1, cpu=0.5),
    Eval(step=0, split="validation", metrics={"loss": 0.6, "accuracy": 0.5}, examples=2, seconds=1.0),
    Checkpoint(step=3, path="/c", seconds=0.1),
    Changed(step=2, lr=1e-5, eps=1e-3, eval_every=0),
    Returned(step=60, to=40, lr=5e-5),
    Tried(
        id=1,
        step=2,
        prompt="It was",
        options=["bad", "good"],
        label=1,
        now=Answer(probabilities=[0.4, 0.6]),
        base=Answer(probabilities=[0.5, 0.5]),
    ),
    State(state="stopping", step=2),
    Log(level="info", text="two\nlines"),
    Error(kind="usage", text="no"),
    Error(kind="start", text="no"),
    Done(outcome="finished", steps=3, seconds=1.0, metrics={}, run="/r"),
]
COMMANDS = [
    Pause(),
    Resume(),
    Save(),
    Evaluate(),
    Stop(),
    Change(lr=1e-5),
    Try(id=1, prompt="It was", options=["bad", "good"]),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_an_event_is_one_line_that_reads_back(event: AnyEvent) -> None:
    line = encode(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line)["type"] == type(event).__name__.lower()
    assert decode_event(line) == event


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: type(c).__name__)
def test_a_command_reads_back(command: AnyCommand) -> None:
    assert decode_command(encode(command)) == command


def test_a_step_tells_what_was_kept_only_where_there_was_a_fold() -> None:
    plain, after_a_fold = (json.loads(encode(event)) for event in EVENTS[2:4])
    assert after_a_fold.keys() - plain.keys() == {"update_kept", "update_cosine"}
    assert plain.keys() < after_a_fold.keys()


def test_every_event_of_the_contract_is_tried_here() -> None:
    assert {type(event) for event in EVENTS} == set(AnyEvent.__args__)


@pytest.mark.parametrize("line", [b"", b"INFO 01-01 vllm started", b"{}", b'{"type": "nonsense"}', b'{"type": "step"}'])
def test_a_line_that_is_no_event_is_refused(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_event(line)


@pytest.mark.parametrize(
    "line",
    ['{"type": "change", "lr": 0}', '{"type": "change", "eps": -1}', '{"type": "try", "id": 1, "max_tokens": 0}'],
)
def test_a_command_with_a_value_that_makes_no_sense_is_refused(line: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_command(line)


def test_texts_are_made_plain_however_deep_they_lie() -> None:
    tried = Tried(id=1, step=0, prompt="a\x1b]0;b\x07", options=["\x1b[2J"], now=Answer(text="\x9b"))
    found = decode_event(encode(tried))
    assert isinstance(found, Tried) and found.now is not None
    assert not any("\x1b" in text or "\x9b" in text for text in (found.prompt, *found.options, found.now.text))


def test_a_command_is_no_event() -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_event(encode(Stop()))


def test_a_number_that_is_not_finite_becomes_null() -> None:
    event = Eval(step=0, split="v", metrics={"loss": math.nan}, examples=1, seconds=0.0)
    assert json.loads(encode(event))["metrics"] == {"loss": None}
