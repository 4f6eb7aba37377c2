"""An engine that says what is malformed, hostile or absurd: the app skips the former and survives the latter."""

from __future__ import annotations

import fcntl
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from engine.preset.load import load
from engine.protocol.codec import decode_event, encode
from engine.protocol.events import AnyEvent, Checkpoint, Done, Eval, Hello, Log, Phase, State, Step, Telemetry
from engine.runs.directory import RunDir
from tests.fuzz import mutations, refused
from tests.zotui.app.app_helpers import cockpit, preset_text, until, until_shown
from zotui.app.app import ZotuiApp
from zotui.app.state.feed import Engine, EngineFeed
from zotui.engines.attached import AttachedEngine
from zotui.engines.launched import EngineProcess

FRAMES = 10_000


def story(run: RunDir) -> list[AnyEvent]:
    """A short run, with an event of every kind but an error."""
    metrics = {"loss": 0.6, "accuracy": 0.5}
    events: list[AnyEvent] = [
        Phase(name="loading model", progress=0.5),
        Hello(run=str(run.path), name=run.name, preset="p", model="m", runtime="vllm", device="cpu", dtype="float32",
              steps=40),
        State(state="running", step=0),
        Eval(step=0, split="validation", metrics=metrics, examples=9, seconds=0.1),
    ]  # fmt: skip
    for step in range(40):
        events += [
            Step(step=step, loss=0.5, loss_plus=0.6, loss_minus=0.4, projected_grad=1.0, lr=1e-6, tokens=10,
                 seconds=0.01, tokens_per_s=1000.0, update_kept=0.9, update_cosine=0.8),
            Telemetry(kv_cache_usage=0.5, gpu_memory_used=1, gpu_memory_total=2, gpu_utilisation=0.5, rss=1, cpu=1.0),
        ]  # fmt: skip
    return [
        *events,
        Log(level="info", text="a line"),
        Checkpoint(step=40, path="/c", seconds=0.1),
        Done(outcome="finished", steps=40, seconds=1.0, metrics=metrics, run=str(run.path), time={"steps": 1.0}),
    ]


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(load("demo", preset_text(steps=40)), "demo", tmp_path / "run")


def among(events: list[AnyEvent], others: list[bytes]) -> bytes:
    """The lines of the events, evenly spread among the others, whose ends they are."""
    share = len(others) // (len(events) - 1)
    lines = []
    for number, event in enumerate(events):
        lines += [encode(event), *others[number * share : (number + 1) * share]]
    return b"".join(lines)


Talk = Callable[[bytes], Engine]


@pytest.fixture(params=["pipe", "socket"])
def talk(request: pytest.FixtureRequest, run: RunDir, monkeypatch: pytest.MonkeyPatch) -> Iterator[Talk]:
    """An engine that says these bytes and ends, launched or attached to."""
    threads: list[threading.Thread] = []

    def on_a_pipe(data: bytes) -> Engine:
        (run.path / "said").write_bytes(data)
        code = "import shutil, sys; shutil.copyfileobj(open(sys.argv[1] + '/said', 'rb'), sys.stdout.buffer)"
        monkeypatch.setattr(EngineProcess, "COMMAND", (sys.executable, "-c", code))
        return EngineProcess(run)

    def on_a_socket(data: bytes) -> Engine:
        lock = (run.path / "lock").open("wb")
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with run.control_address() as address:
            server.bind(address)
        server.listen()

        def serve() -> None:
            client, _ = server.accept()
            with server, client, lock:
                client.sendall(data)

        threads.append(threading.Thread(target=serve))
        threads[0].start()
        return AttachedEngine(run)

    yield on_a_pipe if request.param == "pipe" else on_a_socket
    for thread in threads:
        thread.join()


def test_a_reader_takes_the_events_and_nothing_else(run: RunDir, talk: Talk) -> None:
    events = story(run)
    engine = talk(among(events, refused(1, [encode(event) for event in events], decode_event, FRAMES)))
    assert list(engine.events()) == events
    assert engine.ignored > FRAMES - len(events)
    assert engine.wait() == 0


async def test_the_cockpit_shows_the_run_and_says_once_that_more_was_said(run: RunDir, talk: Talk) -> None:
    events = story(run)
    app = ZotuiApp(EngineFeed(talk(among(events, refused(2, [encode(e) for e in events], decode_event, FRAMES)))))
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "● finished", "40 of 40")
        await until(pilot, lambda: cockpit(pilot).exit_code == 0)
        told = [entry.text for entry in cockpit(pilot).run.entries if entry.kind == "warning"]
        assert len(told) == 2 and "only counted" in told[0] and "were no events" in told[1]
        assert cockpit(pilot).run.losses.x == list(range(40))


def absurd(run: RunDir, count: int) -> list[bytes]:
    """Events that no engine would say, but that are events: but for ends and greetings, which would say who it is."""
    examples = [encode(event) for event in story(run) if not isinstance(event, Done)]
    found: list[bytes] = []
    for line in mutations(3, examples):
        try:
            decode_event(line)
        except msgspec.DecodeError:
            continue
        if line not in examples and json.loads(line)["type"] not in ("done", "error"):
            found.append(line)
        if len(found) == count:
            return found
    raise AssertionError("unreachable: there is no end of mutations")


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_events_that_are_absurd_do_not_crash_the_cockpit(run: RunDir, talk: Talk, size: tuple[int, int]) -> None:
    events = story(run)
    lines = absurd(run, 2000)
    app = ZotuiApp(EngineFeed(talk(among(events, lines))))
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: cockpit(pilot).exit_code == 0)
        for _ in range(3):
            cockpit(pilot).redraw()
            await pilot.pause()
        await until_shown(pilot, "● finished")
        for number, line in enumerate(islice(lines, 0, None, 20)):  # each of them on the screen for a moment
            cockpit(pilot).run.outcome = None
            cockpit(pilot).run.apply(decode_event(line))
            cockpit(pilot).redraw()
            if number % 10 == 0:
                await pilot.pause()
        assert app.is_running
