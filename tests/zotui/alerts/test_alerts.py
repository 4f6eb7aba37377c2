"""Notices of a run, and the ways of telling: bell, desktop, command."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.preset.load import load
from engine.protocol.events import AnyEvent, Done, Error, Eval, State
from engine.runs.directory import RunDir
from tests.faults.workshop import wait_for
from tests.zotui import scripted_engine
from tests.zotui.scripted_engine import zotui
from zotui.alerts.channels import Notifier, by_terminal
from zotui.alerts.triggers import Notice, Notices
from zotui.home.config import Notify

PRESET = '[model]\npath = "m"\n[task]\nname = "sst2"\n[run]\nsteps = 3\n'
FAILED = Notice("failed", "r", "/runs/r", "r ran out of \x1b[2Jmemory", "", None, 7)
HELD = State(state="paused", step=7, reason="a")
BEST = Notice("best", "r", "/runs/r", "r new best", "accuracy", 0.75, 20)


def taken(step: int, accuracy: float, split: str = "validation") -> Eval:
    metrics = {"loss": 1 - accuracy, "accuracy": accuracy}
    return Eval(step=step, split=split, metrics=metrics, examples=9, seconds=0.1)


def told(tmp_path: Path, *events: AnyEvent) -> list[tuple[str, str]]:
    notices = Notices(RunDir(tmp_path / "r"))
    seen = [notices.see(event) for event in events]
    return [(one.event, one.text) for one in [*seen, notices.ended()] if one is not None]


def over(outcome: str = "finished") -> Done:
    return Done(outcome=outcome, steps=3, seconds=1.0, metrics={"accuracy": 0.75}, run="")  # type: ignore[arg-type]


def test_a_best_is_better_than_all_before(tmp_path: Path) -> None:
    accuracies = [(0, 0.6), (10, 0.5), (20, 0.7), (30, 0.7), (40, 0.8)]
    events = [taken(step, accuracy) for step, accuracy in accuracies]
    assert [text for _, text in told(tmp_path, *events, over())] == [
        "r new best at step 20  accuracy 0.700  loss 0.3000",
        "r new best at step 40  accuracy 0.800  loss 0.2000",
        "r finished 3 steps  accuracy 0.750",
    ]


def test_of_a_loss_less_is_better_and_another_split_is_no_news(tmp_path: Path) -> None:
    def lost(step: int, loss: float, split: str = "validation") -> Eval:
        return Eval(step=step, split=split, metrics={"loss": loss}, examples=9, seconds=0.1)

    events = [lost(0, 0.7), lost(5, 0.1, "test"), lost(10, 0.8), lost(20, 0.6)]
    assert told(tmp_path, *events, over("stopped")) == [("best", "r new best at step 20  loss 0.6000")]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([Error(kind="failure", text="no memory")], ["r no memory"]),
        ([], ["r ended unexpectedly"]),
        ([Error(kind="usage", text="no such file")], []),
        ([over("stopped")], []),
        (
            [State(state="paused", step=7, reason="the loss is nan"), Error(kind="failure", text="the loss is nan")],
            ["r is held at step 7: the loss is nan"],
        ),
        ([State(state="paused", step=7, reason="disk full", waits=True), over("stopped")], []),
        (
            [
                State(state="paused", step=7, reason="a"),
                State(state="running", step=7),
                Error(kind="failure", text="b"),
            ],
            ["r is held at step 7: a", "r b"],
        ),
    ],
)
def test_a_failure_is_told_once(tmp_path: Path, events: list[AnyEvent], expected: list[str]) -> None:
    assert told(tmp_path, *events) == [("failed", text) for text in expected]


class Told:
    """A notifier, and what it did."""

    def __init__(self, **wanted: object) -> None:
        self.rung = 0
        self.written: list[str] = []
        self.warned: list[str] = []
        settings = Notify.model_validate({"on": ["finished", "failed", "best"], "bell": False, **wanted})
        self.notifier = Notifier(settings, bell=self._ring, terminal=self.written.append, warn=self.warned.append)

    def _ring(self) -> None:
        self.rung += 1

    def tell(self, *notices: Notice) -> Told:
        for notice in notices:
            self.notifier.tell(notice)
        self.notifier.close(240)
        return self


def test_the_bell_rings_for_what_is_wanted() -> None:
    assert Told(bell=True, on=["failed"]).tell(FAILED, BEST).rung == 1
    assert Told(bell=False).tell(FAILED).rung == 0


def test_a_command_is_told_in_its_environment(tmp_path: Path) -> None:
    target = tmp_path / "told $(touch x) .json"
    script = (
        "import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w')); assert os.getsid(0) == os.getpid()"
    )
    done = Told(command=[sys.executable, "-c", script, str(target)]).tell(BEST)
    assert done.warned == []
    tests = ("ZOTUI_HOME", "ZOTUI_TEST_")  # what the tests set for themselves
    told = json.loads(target.read_text())
    said = {name: told[name] for name in told if name.startswith("ZOTUI_") and not name.startswith(tests)}
    assert said == {
        "ZOTUI_EVENT": "best",
        "ZOTUI_RUN": "r",
        "ZOTUI_PATH": "/runs/r",
        "ZOTUI_TEXT": "r new best",
        "ZOTUI_METRIC": "accuracy",
        "ZOTUI_VALUE": "0.75",
        "ZOTUI_STEP": "20",
    }
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("command", "warning"),
    [
        (
            "/nowhere/to/be/found --now",
            "cannot notify: /nowhere/to/be/found: cannot be started (No such file or directory)",
        ),
        ([sys.executable, "-c", "raise SystemExit(3)"], f"cannot notify: {sys.executable}: ended with code 3"),
    ],
)
def test_a_command_that_fails_is_one_warning(command: object, warning: str) -> None:
    assert Told(command=command).tell(FAILED, BEST).warned == [warning]


@pytest.mark.parametrize(
    ("environment", "sequence"),
    [
        ({"TERM": "xterm-kitty"}, "\x1b]9;zotui: a; b c\x07"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "\x1b]9;zotui: a; b c\x07"),
        ({"TERM": "foot"}, "\x1b]777;notify;zotui;a, b c\x07"),
        ({"TERM": "xterm-256color"}, ""),
        ({}, ""),
    ],
)
def test_what_a_terminal_is_asked(environment: dict[str, str], sequence: str) -> None:
    assert by_terminal("a; b\n\x1b\x07c", environment).replace("bc", "b c") == sequence


def test_the_desktop_is_reached_by_the_terminal_else_by_notify_send_else_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TERM_PROGRAM", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TERM", "xterm-kitty")
    assert Told(desktop=True).tell(FAILED).written == ["\x1b]9;zotui: r ran out of [2Jmemory\x07"]
    monkeypatch.setenv("TERM", "xterm")
    nothing = Told(desktop=True).tell(FAILED, BEST)
    assert nothing.warned == [
        "cannot notify: notify.desktop: neither this terminal nor notify-send can show anything here"
    ]
    sender = tmp_path / "notify-send"
    sender.write_text(f'#!/bin/sh\nfor word; do echo "$word"; done > {tmp_path}/sent\n')
    sender.chmod(0o755)
    assert Told(desktop=True).tell(FAILED).warned == []
    assert (tmp_path / "sent").read_text().splitlines()[-2:] == ["zotui", "r ran out of [2Jmemory"]
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")  # nobody looks at the desktop over there
    assert len(Told(desktop=True).tell(FAILED).warned) == 1


@pytest.fixture
def watcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[str]]:
    """A home whose configuration starts a command; returns the events that it was told, once they are so many."""
    home, log = tmp_path / "home", tmp_path / "told"
    monkeypatch.setenv("ZOTUI_HOME", str(home))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.chdir(tmp_path)
    Path("p.toml").write_text(PRESET)
    home.mkdir()
    script = f"import os; open({str(log)!r}, 'a').write(os.environ['ZOTUI_EVENT'] + chr(10))"
    command = json.dumps([sys.executable, "-c", script])
    (home / "config.toml").write_text(f'[notify]\non = ["finished", "failed", "best"]\ncommand = {command}\n')

    def told(count: int) -> list[str]:
        def found() -> list[str]:
            return sorted(log.read_text().split()) if log.exists() else []

        wait_for(f"{count} commands", lambda: len(found()) >= count)  # which outlive whoever started them
        return found()

    return told


def test_a_run_without_a_cockpit_tells_its_end_and_its_best(
    tmp_path: Path, watcher: Callable[[int], list[str]]
) -> None:
    engine = scripted_engine.install(tmp_path, scripted_engine.GOOD)
    assert zotui("run", "p.toml", "--headless", engine=engine)[0] == 0
    assert watcher(2) == ["best", "finished"]


def test_a_run_without_a_cockpit_tells_its_failure(tmp_path: Path, watcher: Callable[[int], list[str]]) -> None:
    engine = scripted_engine.install(tmp_path, "hello(3); step(0); os.kill(os.getpid(), signal.SIGKILL)")
    assert zotui("run", "p.toml", "--json", engine=engine)[0] == 1
    assert watcher(1) == ["failed"]


def test_a_faulty_configuration_breaks_no_run(tmp_path: Path, watcher: Callable[[int], list[str]]) -> None:
    file = Path(os.environ["ZOTUI_HOME"]) / "config.toml"
    file.write_text("[notify]\nbel = true\n")
    engine = scripted_engine.install(tmp_path, scripted_engine.GOOD)
    code, _, err = zotui("run", "p.toml", "--headless", engine=engine)
    assert code == 0
    fault = f"zotui: {file}: notify.bel: unknown key; did you mean 'notify.bell'?; notifying as it comes"
    assert fault in err.splitlines()


def test_a_preset_names_no_command(tmp_path: Path, watcher: Callable[[int], list[str]]) -> None:
    (Path(os.environ["ZOTUI_HOME"]) / "config.toml").unlink()
    Path("p.toml").write_text(PRESET + '[notify]\ncommand = "touch owned"\n')
    code, _, err = zotui("run", "p.toml", "--headless")
    assert code == 2 and "notify: unknown key" in err
    run = RunDir.create(load("p", PRESET), "p", tmp_path / "r")
    run.info.update(notify={"command": ["touch", "owned"], "on": ["finished"]}, command="touch owned")
    engine = scripted_engine.install(tmp_path, scripted_engine.GOOD)
    assert zotui("resume", "r", "--headless", engine=engine)[0] == 0
    assert not Path("owned").exists()
