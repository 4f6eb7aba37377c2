"""`zotui attach` without a terminal and `zotui stop`, on a scripted engine with a real control socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.clients.socket import MOST_CLIENTS
from engine.preset.load import load
from engine.runs.directory import RunDir
from tests.zotui.scripted_engine import REPOSITORY, start, zotui
from zotui.commands.stop import stop_run
from zotui.engines import attached

SCRIPTED_ENGINE = Path(__file__).parents[1] / "app" / "app_scripted_engine.py"
PATIENCE = 240.0  # seconds; only a failing test waits that long


class Live:
    """A scripted engine on a run called `r`, that nobody launched."""

    def __init__(self, **script: Any) -> None:
        chosen = load("p", '[model]\npath = "m"\n[task]\nname = "sst2"\n')
        self.run = RunDir.create(chosen, "p", Path(os.environ["ZOTUI_HOME"]) / "runs" / "r")
        with self.run.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(SCRIPTED_ENGINE), str(self.run.path)],
                env={**os.environ, "SCRIPTED_ENGINE": json.dumps(script)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        self.until_recorded(script.get("hold_at", script.get("fault_at", 0)))

    def until_recorded(self, steps: int) -> None:
        """The journal holds so many steps, and the engine can be attached to."""
        deadline = time.monotonic() + PATIENCE
        while not (self.run.control_file.exists() and self.run.summary().steps_done >= steps):
            assert time.monotonic() < deadline and self.process.poll() is None
            time.sleep(0.02)

    def go(self) -> None:
        (self.run.path / "go").touch()

    def heard(self) -> list[str]:
        file = self.run.path / "heard.txt"
        return file.read_text().split() if file.exists() else []


@pytest.fixture(autouse=True)
def _home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def live() -> Iterator[Callable[..., Live]]:
    """Starts scripted engines; takes the keys of their script."""
    begun: list[Live] = []

    def begin(**script: Any) -> Live:
        begun.append(Live(**script))
        return begun[-1]

    yield begin
    for one in begun:
        one.process.kill()
        one.process.wait()


def read_until(stream: Any, text: str) -> list[str]:
    lines = []
    while text not in (lines[-1] if lines else ""):
        lines.append(stream.readline())
        assert lines[-1], f"ended without {text!r}: {lines}"
    return lines


# -- attach -----------------------------------------------------------------------------------------


def test_attaching_without_a_terminal_follows_to_the_end(live: Callable[..., Live]) -> None:
    engine = live(hold_at=60)
    process = start("attach", "r")
    read_until(process.stderr, "200 steps, from step 60")
    engine.go()
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0
    assert out.splitlines()[:3] == [
        "validation      before     after      best",
        "accuracy         0.602     0.642     0.642  at step 200",
        "loss            0.7000    0.6200    0.6200  at step 200",
    ]
    assert out.splitlines()[-1] == "next        zotui export r --to DIR --format merged"
    assert "step 200/200" in err and engine.heard() == []


def test_json_begins_with_hello_and_leaves_no_step_out(live: Callable[..., Live]) -> None:
    engine = live(hold_at=60)
    process = start("attach", "r", "--json")
    assert process.stdout is not None
    hello, state = (json.loads(process.stdout.readline()) for _ in range(2))
    assert (hello["type"], hello["first_step"], state["type"], state["state"]) == ("hello", 60, "state", "running")
    engine.go()
    out, err = process.communicate(timeout=240)
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["step"] for event in events if event["type"] == "step"] == list(range(60, 200))
    assert (events[-1]["type"], process.returncode, err) == ("done", 0, "")


@pytest.mark.parametrize("options", [[], ["--json"]], ids=" ".join)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_following_and_not_the_run(
    live: Callable[..., Live], number: signal.Signals, options: list[str]
) -> None:
    engine = live(hold_at=5)
    process = start("attach", "r", *options)
    read_until(process.stdout if options else process.stderr, "hello" if options else "from step 5")
    process.send_signal(number)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0
    assert err.splitlines()[-1] == "r goes on: zotui attach r, zotui stop r"
    assert engine.heard() == [] and engine.run.is_live()
    engine.go()
    assert engine.process.wait(240) == 0


@pytest.mark.parametrize(
    ("standing", "message"),
    [
        ("finished", "zotui: r: is not live (finished); `zotui show r` tells how it went\n"),
        (
            "stopped",
            "zotui: r: is not live (stopped); `zotui resume r` goes on with it, `zotui show r` tells how it went\n",
        ),
    ],
)
def test_what_is_not_live_cannot_be_attached_to(live: Callable[..., Live], standing: str, message: str) -> None:
    engine = live(steps=3)
    assert engine.process.wait(240) == 0
    engine.run.info.update(state=standing)
    assert zotui("attach", "r") == (2, "", message)


def test_an_engine_that_dies_meanwhile_has_failed(live: Callable[..., Live]) -> None:
    engine = live(hold_at=5)
    process = start("attach", "r", "--headless")
    read_until(process.stderr, "from step 5")
    engine.process.kill()
    _, err = process.communicate(timeout=240)
    assert process.returncode == 1
    lines = err.splitlines()
    assert "zotui: the engine ended without a word; the journal keeps every finished step" in lines
    assert "  engine log line 19" in lines and lines[-1] == "go on with: zotui resume r"


def test_a_run_that_is_held_stays_so_for_one_who_can_resume_it(live: Callable[..., Live]) -> None:
    engine = live(fault_at=30)
    process = start("attach", "r", "--headless")
    lines = read_until(process.stderr, "zotui attach")
    assert lines[-2].startswith("paused at step 30: the loss is not a finite number")
    assert lines[-1] == "resume it in `zotui attach r`\n"
    assert engine.heard() == []
    assert zotui("stop", "r")[0] == 0
    _, err = process.communicate(timeout=240)
    assert process.returncode == 1 and "zotui: the loss is not a finite number" in err


def test_one_too_many_is_refused_and_can_still_stop_it(live: Callable[..., Live]) -> None:
    engine = live(hold_at=5)
    clients = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(MOST_CLIENTS)]
    for client in clients:
        with engine.run.control_address() as address:
            client.connect(address)
        assert client.recv(1)  # it is in
    message = "zotui: r: 16 apps are attached to this run already; leave one of them first\n"
    assert zotui("attach", "r") == (2, "", message)
    code, _, err = zotui("stop", "r")
    assert code == 0 and f"sent TERM to its process {engine.process.pid}" in err
    assert engine.process.wait(240) == 0
    for client in clients:
        client.close()


# -- stop -------------------------------------------------------------------------------------------


def test_stop_waits_until_the_engine_is_gone(live: Callable[..., Live]) -> None:
    engine = live(hold_at=60)
    code, out, err = zotui("stop", "r")
    assert (code, out) == (0, "")
    assert err.splitlines() == [
        "r: stopping; waiting for the step in flight to be finished and saved",
        "r: saved the checkpoint of step 60; waiting for the engine to end",
        "r: stopped after 60 of 200 steps; `zotui resume r` goes on with it",
    ]
    assert not engine.run.is_live() and not engine.run.control_file.exists()
    assert zotui("stop", "r") == (0, "", "r: is not live (stopped); nothing to stop\n")


def test_without_a_socket_a_signal_stops_it(live: Callable[..., Live]) -> None:
    engine = live(hold_at=60)
    engine.run.control_file.unlink()
    code, _, err = zotui("attach", "r")
    assert code == 2 and "cannot be reached (No such file or directory); `zotui stop r` ends it" in err
    code, out, err = zotui("stop", "r")
    assert (code, out) == (0, "")
    assert err.splitlines() == [
        f"r: does not answer; sent TERM to its process {engine.process.pid} instead; "
        "waiting for the step in flight to be finished and saved",
        "r: stopped after 60 of 200 steps; `zotui resume r` goes on with it",
    ]


def test_an_engine_that_is_stuck_gets_a_signal(
    live: Callable[..., Live], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(attached, "_ANSWERING", 0.3)
    engine = live(hold_at=60)
    os.kill(engine.process.pid, signal.SIGSTOP)
    said = ""
    thread = threading.Thread(target=stop_run, args=(engine.run,))
    thread.start()
    deadline = time.monotonic() + PATIENCE
    while "sent TERM" not in said:
        assert time.monotonic() < deadline
        said += capsys.readouterr().err
        time.sleep(0.02)
    assert thread.is_alive()  # it waits for the engine
    os.kill(engine.process.pid, signal.SIGCONT)
    thread.join(PATIENCE)
    assert not thread.is_alive() and engine.process.wait(240) == 0
    assert "r: stopped after 60 of 200 steps" in capsys.readouterr().err


def test_a_live_run_whose_process_cannot_be_seen_is_told_so(live: Callable[..., Live]) -> None:
    engine = live(hold_at=5)
    engine.run.control_file.unlink()
    (engine.run.path / "lock").write_text("1")  # as of another machine, or of a process that ended
    code, _, err = zotui("stop", "r")
    assert code == 1
    assert err.splitlines() == [
        "zotui: r: does not answer, and its process cannot be seen from here: is it another machine's?"
    ]
    assert engine.process.poll() is None
