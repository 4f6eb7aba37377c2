"""The control socket of a real engine: who comes later misses nothing, and nobody disturbs the run."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from engine.clients.socket import MOST_CLIENTS
from engine.preset.load import load
from engine.protocol.commands import Evaluate, Pause, Resume, Save, Stop
from engine.protocol.events import Checkpoint, Done, Error, Eval, Hello, Log, Phase, State, Step
from engine.runs.directory import RunDir
from tests.engine.conftest import Runner
from tests.live_engine import Client, Conversation, Engine


def steps(one: Conversation) -> list[int]:
    return [event.step for event in one.seen if isinstance(event, Step)]


def to_the_end(*ones: Conversation) -> None:
    for one in ones:
        for _ in one.events():
            pass


def test_one_who_comes_later_gets_every_step_from_its_hello_on(start: Any) -> None:
    engine = start("run.steps=120")
    engine.hold()
    engine.limit(18_000)  # the journal of some 60 steps: however late this process is, the run is not over
    engine.send(Resume())
    clients = []
    for step in (0, 10, 11, 40):
        engine.until(Step, step=step)
        clients.append(Client(engine.run))
    engine.limit(-1)
    engine.send(Resume())
    to_the_end(engine, *clients)
    assert engine.process.wait(240) == 0
    for client, came_at in zip(clients, (0, 10, 11, 40), strict=True):
        hello, state = client.seen[:2]
        assert isinstance(hello, Hello) and came_at < hello.first_step <= 120
        assert isinstance(state, State) and state.step >= hello.first_step
        assert steps(client) == list(range(hello.first_step, 120))
        assert client.seen[-1] == engine.seen[-1] and isinstance(client.seen[-1], Done)
        of_engine, of_client = (next(e for e in one.seen if isinstance(e, Hello)) for one in (engine, client))
        assert of_client.seconds > of_engine.seconds > 0
    assert not engine.run.control_file.exists()


def test_one_who_comes_during_start_up_is_told_how_far_it_is(start: Any) -> None:
    engine = start("run.steps=3")
    engine.until(Phase)
    client = Client(engine.run)
    assert isinstance(client.until(object), Phase)
    assert client.until(object) == State(state="starting", step=0)
    assert client.until(Hello).first_step == 0
    to_the_end(client)
    assert steps(client) == [0, 1, 2]


def test_all_see_what_one_asks_for_and_asking_twice_is_asking_once(start: Any) -> None:
    engine = start()
    engine.until(Step)
    one, other = Client(engine.run), Client(engine.run)
    for client in (one, other):
        client.send(Pause())
    held = {end.until(State, state="paused").step for end in (engine, one, other)}
    assert len(held) == 1
    clocks = {Client(engine.run).until(Hello).seconds for _ in range(3)}
    assert len(clocks) == 1, "the clock of a run that is paused stands"
    other.send(Evaluate())
    assert one.until(Eval).step == engine.until(Eval).step == held.pop()
    for client in (one, other):  # a checkpoint that is there already is not written again
        client.send(Save())
        engine.until(State, state="checkpointing")
        engine.until(State, state="paused")
    assert len([event for event in engine.seen if isinstance(event, Checkpoint)]) == 1
    for client in (one, other):
        client.send(Resume())
    for end in (engine, one, other):
        end.until(State, state="running")
    end.until(Step)
    assert Client(engine.run).until(Hello).seconds > clocks.pop()
    one.leave()
    for _ in range(2):
        other.send(Stop())
    for end in (engine, other):
        assert end.until(Done).outcome == "stopped"
    assert engine.finish() == 130


def test_stopping_twice_during_start_up_is_stopping_once(start: Any) -> None:
    engine = start()
    engine.until(Phase)
    clients = [Client(engine.run) for _ in range(4)]
    for client in clients:
        client.send(Stop())
    assert engine.until(Done).outcome == "stopped"
    assert engine.finish() == 130
    assert engine.run.summary().standing == "stopped"


def test_clients_that_are_slow_stuck_or_gone_lose_events_and_the_run_none(start: Any) -> None:
    engine = start("run.steps=300", "run.batch_size=1")
    engine.hold()
    stuck = Client(engine.run)  # never reads
    gone = Client(engine.run)
    gone.socket.close()
    torn = Client(engine.run)
    torn.tell(b'{"type": "pau')
    torn.leave()
    half = Client(engine.run)
    half.socket.shutdown(socket.SHUT_WR)
    engine.send(Resume())
    assert engine.finish() == 0
    assert steps(engine) == list(range(300)) == [step.step for step in engine.run.journal()]
    to_the_end(stuck)  # as far as the system's buffers took it, and without a gap
    assert steps(stuck) == list(range(steps(stuck)[0], steps(stuck)[-1] + 1))


def test_the_seventeenth_is_told_so_and_takes_the_place_of_one_that_leaves(start: Any) -> None:
    engine = start()
    engine.until(Step)
    clients = [Client(engine.run) for _ in range(MOST_CLIENTS)]
    for client in clients:
        client.until(Hello)
    refused = Client(engine.run)
    error = refused.until(Error)
    assert "16 apps are attached" in error.text
    assert list(refused.events()) == []
    clients[3].leave()
    to_the_end(clients[3])
    while not isinstance(event := next(Client(engine.run).events()), Hello):
        assert isinstance(event, Error)  # the place is about to be free
    assert engine.process.poll() is None


def test_only_its_user_can_connect_whatever_the_umask(start: Any) -> None:
    before = os.umask(0)
    try:
        engine = start()
        engine.until(Phase)
    finally:
        os.umask(before)
    mode = engine.run.control_file.lstat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600


def test_a_long_path_and_the_socket_of_a_dead_engine_are_no_hindrance(
    tiny_run: Runner, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path / "/".join(["a-folder-with-a-long-name"] * 8)
    run = RunDir.create(load("tiny", tiny_run.preset.read_text(), ["run.steps=4000"]), "tiny", folder)
    engine = Engine(run)
    request.addfinalizer(engine.process.kill)
    engine.until(Step)
    engine.process.kill()
    engine.process.wait()
    assert run.control_file.is_socket()
    with pytest.raises(ConnectionRefusedError):
        Client(run)
    engine = Engine(run, resume=True)
    request.addfinalizer(engine.process.kill)
    engine.until(Step)
    client = Client(run)
    client.until(Hello)
    client.send(Stop())
    assert client.until(Done).outcome == "stopped"
    assert engine.finish() == 130 and not run.control_file.exists()


def test_what_is_no_socket_stays_and_the_run_goes_on_without(start: Any, tmp_path: Path) -> None:
    engine = start("run.steps=2")
    engine.send(Pause())
    engine.process.kill()
    engine.process.wait()
    engine.run.control_file.unlink(missing_ok=True)
    engine.run.control_file.write_text("mine")
    again = Engine(engine.run, resume=True)
    assert again.finish() == 0
    assert any(isinstance(e, Log) and "cannot be attached to" in e.text for e in again.seen)
    assert engine.run.control_file.read_text() == "mine"


def test_a_second_engine_is_refused_and_leaves_the_socket_of_the_first(start: Any) -> None:
    engine = start()
    engine.until(Step)
    second = Engine(engine.run, resume=True)
    assert second.finish() == 2
    assert any(isinstance(e, Error) and "is live" in e.text for e in second.seen)
    assert Client(engine.run).until(Hello).pid == engine.process.pid == engine.run.engine_pid()


def test_the_pid_is_that_of_the_engine_that_holds_the_lock_or_none(start: Any) -> None:
    engine = start()
    engine.until(Phase)
    assert engine.run.engine_pid() == engine.process.pid
    engine.process.kill()
    engine.process.wait()
    lock = engine.run.path / "lock"
    assert lock.read_text() == str(engine.process.pid) and engine.run.engine_pid() is None
    for other in ("", "1", str(os.getpid()), "0", "-1", "x"):  # of what holds no lock of this run
        lock.write_text(other)
        assert engine.run.engine_pid() is None


def test_an_attached_client_is_somebody_to_resume_a_held_run(start: Any) -> None:
    engine = start("model.dtype=float16", "method.eps=1e6", "task.validation_examples=4")
    engine.until(Phase)
    client = Client(engine.run)
    engine.process.stdin.close()
    held = client.until(State, state="paused")
    assert "not a finite number" in held.reason
    late = Client(engine.run)
    assert late.until(State).reason == held.reason
    client.leave()
    late.send(Resume())
    assert late.until(State, state="paused").reason == held.reason  # tried again
    late.leave()
    assert engine.finish() == 1
    assert engine.run.summary().standing == "failed"


def test_a_run_that_is_to_stop_with_its_app_waits_for_the_last_one(start: Any) -> None:
    engine = start("run.when_app_leaves=stop")
    engine.until(Step)
    client = Client(engine.run)
    client.until(Hello)
    engine.process.stdin.close()
    seen = client.until(Step).step
    client.until(Step, step=seen + 20)
    client.leave()
    assert engine.finish() == 130
    assert engine.run.summary().standing == "stopped"
