"""What is asked of a run that is about to end: answered before it does, or told that it came too late."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.clients.inbox import Inbox
from engine.protocol.commands import AnyCommand, Change, Evaluate, Pause, Resume, Save, Stop, Try
from engine.protocol.events import Changed, Checkpoint, Done, Eval, Log, State, Tried
from engine.runs.fork import place
from tests.engine.training.test_full_disk import obstacle
from tests.live_engine import Engine

STEPS = 4


@pytest.fixture
def last_evaluation(start: Any, reviews: Path, tmp_path: Path) -> Engine:
    """A run within its last evaluation, which takes a while; nothing but that is left to do."""
    held_out = tmp_path / "many.jsonl"
    held_out.write_bytes(reviews.with_name("held-out.jsonl").read_bytes() * 8)
    engine: Engine = start(f"run.steps={STEPS}", f"task.validation={held_out}")
    engine.until(State, state="evaluating", step=STEPS)
    return engine


def warnings(engine: Engine) -> list[str]:
    return [event.text for event in engine.of(Log) if event.level == "warning"]


def test_what_is_asked_within_the_last_evaluation_is_answered_before_the_run_ends(last_evaluation: Engine) -> None:
    engine = last_evaluation
    for command in (Change(lr=0.5), Try(id=7, example=0), Evaluate(), Save()):
        engine.send(command)
    assert engine.finish() == 0
    changed, tried = engine.of(Changed), engine.of(Tried)
    assert [(event.step, event.lr) for event in changed] == [(STEPS, 0.5)]
    assert [(event.id, event.step, event.note) for event in tried] == [(7, STEPS, "")]
    assert [event.step for event in engine.of(Eval)] == [0, STEPS, STEPS]
    assert [event.step for event in engine.of(Checkpoint)] == [STEPS]
    assert warnings(engine) == ["no step is left that this would change; a fork from here has it"]
    assert place(engine.run, STEPS).preset.method.lr == 0.5
    assert engine.seen[-1] == engine.of(Done)[0] and engine.of(Done)[0].outcome == "finished"


@pytest.mark.parametrize("ending", [Resume(), Stop()])
def test_a_pause_within_the_last_evaluation_holds_the_end_until_it_is_told_to_go_on(
    last_evaluation: Engine, ending: AnyCommand
) -> None:
    engine = last_evaluation
    engine.send(Pause())
    assert engine.until(State, state="paused").step == STEPS
    engine.send(Evaluate())
    engine.until(Eval)
    engine.until(State, state="paused")
    assert engine.run.summary().standing == "live"
    engine.send(ending)
    assert engine.finish() == 0
    assert engine.of(Done)[0].outcome == engine.run.summary().standing == "finished"
    assert warnings(engine) == []


def test_a_stop_within_the_last_evaluation_ends_it_and_what_waits_is_told(last_evaluation: Engine) -> None:
    engine = last_evaluation
    for command in (Try(id=1, example=0), Save(), Stop()):
        engine.send(command)
    assert engine.finish() == 130
    assert [event.step for event in engine.of(Eval)] == [0]
    assert [text.partition(":")[0] for text in warnings(engine)] == ["'try' came too late", "'save' came too late"]


def test_what_comes_after_the_end_is_told_that_it_came_too_late(start: Any) -> None:
    engine = start(f"run.steps={STEPS}", "run.checkpoint_best=false")
    engine.limit(64 * 1024)  # room for everything but the weights, which are saved last
    obstacle(engine, "the checkpoint")
    engine.send(Change(lr=0.5))
    engine.send(Pause())
    assert "'change' came too late: the run is over" in engine.until(Log).text
    assert "'pause' came too late" in engine.until(Log).text
    engine.send(Resume())  # tries at once, and cannot
    obstacle(engine, "the checkpoint")
    engine.limit(-1)
    assert engine.finish() == 0
    assert engine.run.changes() == []


def test_a_pause_that_is_not_reached_any_more_is_told_so() -> None:
    said: list[Any] = []
    inbox = Inbox(said.append)
    inbox.started(0)
    inbox.obey(Pause())
    inbox.obey(Save())
    inbox.over()
    told = [event.text.partition(" ")[0] for event in said if isinstance(event, Log)]
    assert told == ["'save'", "'pause'"] and not inbox.paused
