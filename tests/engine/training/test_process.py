"""The engine over real pipes: commands, signals, and readers that are slow or gone."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from typing import Any

import pytest
from msgspec import structs

from engine.protocol.commands import Command, Evaluate, Pause, Resume, Save, Stop
from engine.protocol.events import Checkpoint, Done, Error, Eval, Hello, Log, Phase, State, Step
from engine.runs.journal import encode_line
from tests.live_engine import Client, Engine


def steps(engine: Engine) -> list[Step]:
    return [event for event in engine.seen if isinstance(event, Step)]


def test_every_control_acts_within_one_step_and_says_so(start: Any) -> None:
    engine = start()
    engine.until(Step)
    engine.send(Pause())
    paused = engine.until(State, state="paused")
    after_request = [e for e in engine.seen if isinstance(e, State) and e.state == "pausing"]
    assert after_request and paused.step - after_request[-1].step <= 1
    assert paused.step == steps(engine)[-1].step + 1
    assert (engine.run.summary().standing, engine.run.summary().word) == ("live", "paused")
    # While paused a checkpoint and an evaluation are made at once, and no step is taken.
    engine.send(Save())
    assert engine.until(Checkpoint).step == paused.step
    told = []
    for _ in range(2):  # the second time it is said again, not taken again
        engine.send(Evaluate())
        told.append(engine.until(Eval))
        engine.until(State, state="paused")
    assert (told[0].step, told[0].metrics) == (paused.step, told[1].metrics) and told[1].seconds == 0
    assert [one.step for one in engine.run.evaluations()] == [0, paused.step]
    engine.send(Resume())
    assert engine.until(Step).step == paused.step
    (pause,) = engine.run.info.read().pauses  # one, though it was asked things meanwhile
    assert pause.step == paused.step and pause.seconds > 0
    assert engine.run.summary().word == "live"
    engine.send(Stop())
    done = engine.until(Done)
    assert (done.outcome, done.steps) == ("stopped", steps(engine)[-1].step + 1)
    assert engine.finish() == 130
    assert (engine.run.checkpoints / f"step-{done.steps:08d}").is_dir()
    assert engine.run.summary().standing == "stopped"


def test_a_pause_during_start_up_shows_at_once_and_holds_before_the_first_step(start: Any) -> None:
    engine = start()
    engine.send(Pause())
    assert engine.until(State).state == "paused"
    engine.until(Hello)
    engine.send(Evaluate())  # answered while it holds
    assert engine.until(Eval).step == 0
    assert not steps(engine)
    engine.send(Resume())
    assert engine.until(Step).step == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_finishes_the_step_saves_exits_130_and_all_hear_of_it(start: Any, number: signal.Signals) -> None:
    engine = start()
    engine.until(Step, step=3)
    client = Client(engine.run)
    client.until(Hello)
    os.kill(engine.process.pid, number)
    done = engine.until(Done)
    assert done.outcome == client.until(Done).outcome == "stopped"
    assert engine.finish() == 130
    assert [step.step for step in engine.run.journal()] == list(range(done.steps))
    assert (engine.run.checkpoints / f"step-{done.steps:08d}/weights.safetensors").is_file()


def test_a_signal_during_start_up_ends_at_once(start: Any) -> None:
    engine = start()
    engine.send(Pause())  # should this process be late
    engine.until(Phase)
    os.kill(engine.process.pid, signal.SIGTERM)
    assert engine.until(Done).steps == 0
    assert engine.finish() == 130
    engine = start("task.validation_examples=4")
    engine.hold()
    engine.send(Evaluate())
    engine.until(Eval)
    assert engine.advance(0.5) == 1
    engine.process.kill()
    engine.process.wait()
    (taken,) = engine.run.journal()
    engine.run.journal_file.write_bytes(encode_line(structs.replace(taken, seconds=5.0)))
    again = Engine(engine.run, resume=True)
    again.send(Pause())
    again.until(Phase)
    os.kill(again.process.pid, signal.SIGTERM)
    done = again.until(Done)
    assert done.steps == 1 and done.time["total"] >= 5  # what the run took before, though this engine did nothing
    assert again.finish() == 130


def test_a_reader_that_leaves_does_not_stop_the_run(start: Any) -> None:
    engine = start("run.steps=60")
    engine.until(Step)
    engine.process.stdout.close()
    engine.process.stdin.close()
    assert engine.process.wait(240) == 0
    assert len(list(engine.run.journal())) == 60
    assert engine.run.summary().standing == "finished"


def test_a_paused_run_whose_app_goes_away_stays_paused_until_it_is_told_to_go_on(start: Any) -> None:
    engine = start("run.steps=20")
    engine.until(Step)
    engine.send(Pause())
    held = engine.until(State, state="paused").step
    engine.process.stdin.close()
    engine.process.stdout.close()
    client = Client(engine.run)
    assert client.until(State).state == "paused"
    assert len(list(engine.run.journal())) == held
    client.send(Resume())
    assert client.until(Done).outcome == "finished"
    assert engine.process.wait(240) == 0


@pytest.mark.parametrize("paused", [False, True])
def test_a_run_that_is_to_stop_with_its_app_is_saved_and_can_be_resumed(start: Any, paused: bool) -> None:
    engine = start("run.steps=400", "run.when_app_leaves=stop")
    engine.until(Step)
    if paused:
        engine.send(Pause())
        engine.until(State, state="paused")
    engine.process.stdin.close()
    done = engine.until(Done)
    assert (done.outcome, engine.finish()) == ("stopped", 130)
    assert 0 < done.steps < 400 and len(list(engine.run.journal())) == done.steps
    assert (engine.run.checkpoints / f"step-{done.steps:08d}/weights.safetensors").is_file()
    assert engine.run.summary().standing == "stopped"
    again = Engine(engine.run, resume=True)
    assert again.until(Step).step == done.steps


def test_a_run_that_is_to_stop_with_its_app_ends_during_start_up_too(start: Any) -> None:
    engine = start("run.when_app_leaves=stop")
    engine.send(Pause())
    engine.until(Phase)
    engine.process.stdin.close()
    assert engine.until(Done).steps == 0
    assert engine.finish() == 130


def test_a_reader_that_never_reads_does_not_stop_the_run(start: Any) -> None:
    engine = start("run.steps=60", "run.batch_size=1")
    fcntl.fcntl(engine.process.stdout, fcntl.F_SETPIPE_SZ, 4096)  # far less than it has to say
    assert engine.process.wait(180) == 0
    assert len(list(engine.run.journal())) == 60


def test_a_command_that_is_not_understood_changes_nothing(start: Any) -> None:
    engine = start()
    engine.until(Step)
    engine.tell(b'{"type": "explode"}\nnot json\n\xff\n')
    engine.send(Pause())
    engine.until(State, state="paused")
    engine.send(Stop())
    assert engine.finish() == 130
    warnings = [e.text for e in engine.seen if isinstance(e, Log) and e.level == "warning"]
    assert warnings == [
        "a command that is not understood was ignored; further ones are only counted",
        "3 commands were not understood, and ignored",
    ]


def test_nothing_but_events_is_on_standard_output_and_the_log_is_in_its_file(start: Any) -> None:
    engine = start("run.steps=2")
    assert engine.finish() == 0  # every line decoded
    assert "loading model" in engine.run.log_file.read_text()


def test_a_run_that_diverges_is_held_and_ended_there_it_fails_with_a_sound_journal(start: Any) -> None:
    engine = start("method.lr=1e30", "run.steps=50")
    engine.until(State, state="running")
    held = engine.until(State, state="paused")
    assert "not a finite number" in held.reason and "a lower method.lr (now 1e+30)" in held.reason
    engine.send(Resume())  # tries again, with the same result
    assert engine.until(State, state="paused") == held
    engine.send(Stop())
    assert engine.until(Checkpoint).step == held.step > 0
    assert engine.until(Error).text == held.reason
    assert engine.finish() == 1
    assert [step.step for step in engine.run.journal()] == list(range(held.step))
    assert all(encode_line(step) for step in engine.run.journal())
    assert (engine.run.summary().standing, engine.run.summary().error) == ("failed", held.reason)


@pytest.mark.parametrize("gone", ["before", "after"])
def test_a_held_run_that_nobody_is_there_to_resume_ends_as_failed(start: Any, gone: str) -> None:
    engine = start("model.dtype=float16", "method.eps=1e6", "task.validation_examples=4")
    if gone == "before":
        engine.process.stdin.close()
    engine.until(State, state="paused")
    if gone == "after":
        engine.process.stdin.close()
    assert engine.finish() == 1
    assert engine.run.summary().standing == "failed"


@pytest.mark.parametrize("then", [None, Save(), Stop()], ids=["steps", "save", "stop"])
def test_a_run_whose_folder_is_deleted_fails_and_brings_nothing_back(start: Any, then: Command | None) -> None:
    engine = start("run.eval_every=5000")
    engine.until(Step)
    if then is not None:
        engine.send(Pause())
        engine.until(State, state="paused")
    shutil.rmtree(engine.run.path)
    if then is not None:
        engine.send(then)
        engine.send(Resume())
    error = engine.until(Error)
    assert error.kind == "failure" and "deleted while the run was at work" in error.text
    assert engine.finish() == 1
    assert not (engine.run.path / "run.json").exists()
