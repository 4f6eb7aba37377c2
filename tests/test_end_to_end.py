"""The product as its user meets it: the real app in a real terminal, on the real engine, to the end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux: apt-get install tmux")


class Terminal:
    """A tmux pane that runs one command; `process` is the command's."""

    def __init__(self, socket: Path, command: str, environment: dict[str, str]) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        settings = [f"{name}={value}" for name, value in environment.items()]
        # pytest's own COLUMNS and LINES would shadow the size of the pane.
        shell = f"env -u COLUMNS -u LINES {' '.join(settings)} {command}; echo left with $?; exec sleep 600"
        subprocess.run([*self._tmux, "new-session", "-d", "-x", "120", "-y", "40", shell], check=True)

    def screen(self) -> str:
        done = subprocess.run([*self._tmux, "capture-pane", "-p"], capture_output=True, text=True, check=True)
        return done.stdout

    def press(self, *keys: str) -> None:
        subprocess.run([*self._tmux, "send-keys", *keys], check=True)

    def wait(self, pattern: str, seconds: float, *, gone: bool = False) -> str:
        """The screen, as soon as it shows `pattern`, or no longer does."""
        deadline = time.monotonic() + seconds
        while bool(re.search(pattern, screen := self.screen())) == gone:
            assert time.monotonic() < deadline, f"{gone=}: {pattern!r} not within {seconds} s on this screen:\n{screen}"
            time.sleep(0.1)  # a terminal has no event to wait for
        return screen

    @property
    def process(self) -> psutil.Process:
        told = subprocess.run(
            [*self._tmux, "display-message", "-p", "#{pane_pid}"], capture_output=True, text=True, check=True
        )
        (child,) = psutil.Process(int(told.stdout)).children()
        return child

    def close(self) -> None:
        """As if its window were closed: what runs in it gets a HUP."""
        subprocess.run([*self._tmux, "kill-server"], check=False)


@pytest.fixture
def terminal(tmp_path: Path, home: Path) -> Iterator[Terminal]:
    opened = Terminal(
        tmp_path / "tmux",
        f"{sys.executable} -m zotui",
        {"ZOTUI_HOME": str(home), "COLORTERM": "truecolor", "LANG": "C.UTF-8"},
    )
    yield opened
    opened.close()


def step_on(screen: str) -> int:
    found = re.search(r"step ([\d,]+)/", screen)
    assert found, screen
    return int(found[1].replace(",", ""))


@needs_tmux
def test_from_the_start_screen_to_a_finished_demo(terminal: Terminal, home: Path, tmp_path: Path) -> None:
    screen = terminal.wait("demo", 30)
    assert "presets" in screen
    terminal.press("Enter")
    terminal.wait("preflight: demo", 30)
    terminal.press("Enter")  # without waiting for what it finds
    terminal.wait("space", 30)  # the cockpit's keys
    # A pause during start-up shows at once, and holds before the first step.
    terminal.wait("preparing", 30)
    terminal.press("Space")
    terminal.wait("● paused", 30)
    terminal.wait("packed scoring agrees", 240)
    terminal.wait(r"● paused .* step 0/", 30)
    terminal.press("e")
    terminal.wait(r"eval +step 0 +accuracy", 60)
    terminal.press("Space")
    terminal.wait(r"● running", 30)
    screen = terminal.wait(r"step [1-9]\d*/", 60)
    for word in ("loss", "tok/s", "KV", "GPU"):
        assert word in screen
    # Pause in the middle: no step is taken, evaluation and checkpoint still work.
    terminal.press("Space")
    held = step_on(terminal.wait(r"● paused", 30))
    terminal.press("e")
    terminal.wait(rf"eval +step {held:,} +accuracy", 60)
    terminal.press("c")
    terminal.wait(rf"checkpoint of step {held:,} saved", 60)
    run = next((home / "runs").iterdir())
    assert (run / f"checkpoints/step-{held:08d}/weights.safetensors").is_file()
    assert step_on(terminal.screen()) == held
    # q asks, because the run is live, and staying is one key.
    terminal.press("q")
    terminal.wait("[Kk]eep watching", 30)
    terminal.press("Enter")
    terminal.wait("[Kk]eep watching", 30, gone=True)
    terminal.press("Space")
    screen = terminal.wait(r"● finished", 180)
    evaluations = [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]
    before, after = (evaluations[i]["metrics"]["accuracy"] for i in (0, -1))
    assert before <= 0.65
    assert after >= 0.90
    assert f"{after:.3f}" in screen
    # Leaving gives the terminal back; the run is listed, and its model can be taken away.
    terminal.press("q")
    terminal.wait(r"enter looks at a run", 30)
    terminal.press("q")
    terminal.wait("left with 0", 30)
    environment = {**os.environ, "ZOTUI_HOME": str(home)}
    zotui = [sys.executable, "-m", "zotui"]
    listed = subprocess.run([*zotui, "list", "--json"], capture_output=True, text=True, env=environment, check=True)
    summary = json.loads(listed.stdout)
    assert (summary["name"], summary["standing"]) == (run.name, "finished")
    target = tmp_path / "tuned"
    subprocess.run([*zotui, "export", run.name, "--to", str(target), "--format", "merged"], env=environment, check=True)
    assert (target / "model.safetensors").is_file()


@pytest.fixture
def preset(tmp_path: Path, shared: Path) -> Path:
    """A run of many short steps."""
    path = tmp_path / "tiny.toml"
    path.write_text(
        f"""
        [model]
        path = "{shared}/models/tiny-opt"
        device = "cpu"
        runtime = "training-loop"
        [task]
        name = "sst2"
        train = "{shared}/data/sst2/train.jsonl"
        validation = "{shared}/data/sst2/validation.jsonl"
        train_examples = 50
        validation_examples = 50
        [run]
        steps = 3000
        batch_size = 2
        """
    )
    return path


@needs_tmux
def test_an_engine_that_is_killed_leaves_the_app_up_and_can_be_resumed(
    tmp_path: Path, home: Path, preset: Path
) -> None:
    terminal = Terminal(
        tmp_path / "tmux", f"{sys.executable} -m zotui run {preset}", {"ZOTUI_HOME": str(home), "LANG": "C.UTF-8"}
    )
    try:
        terminal.wait(r"step [1-9]\d*/3,000", 90)
        run = next((home / "runs").iterdir())
        os.kill(json.loads((run / "run.json").read_text())["pid"], signal.SIGKILL)
        screen = terminal.wait(r"resume", 20)
        assert "engine loading model" in terminal.wait("loading model", 30)  # the end of the engine's log
        assert "● running" not in screen
        died_at = len((run / "journal.jsonl").read_text().splitlines())
        terminal.press("r")
        terminal.wait(r"● running", 90)
        assert len((run / "journal.jsonl").read_text().splitlines()) >= died_at
        terminal.press("s")
        terminal.wait(r"● stopped", 30)
        terminal.press("q")
        terminal.wait("left with 130", 30)
    finally:
        terminal.close()
    steps = [json.loads(line)["step"] for line in (run / "journal.jsonl").read_text().splitlines()]
    assert steps == list(range(len(steps)))
    assert len(steps) > died_at


class Home:
    """Opens zotui in terminals on one home, and closes what was opened."""

    def __init__(self, tmp_path: Path, home: Path) -> None:
        self._sockets = (tmp_path / f"tmux{number}" for number in range(100))
        self.environment = {"ZOTUI_HOME": str(home), "LANG": "C.UTF-8"}
        self.opened: list[Terminal] = []
        self._home = home

    def open(self, *arguments: str) -> Terminal:
        command = " ".join([sys.executable, "-m", "zotui", *arguments])
        self.opened.append(Terminal(next(self._sockets), command, self.environment))
        return self.opened[-1]

    def run(self) -> Path:
        return next((self._home / "runs").iterdir())

    def steps_done(self) -> int:
        return len((self.run() / "journal.jsonl").read_bytes().splitlines())

    def shell(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "zotui", *arguments],
            capture_output=True, text=True, check=False, timeout=120, env={**os.environ, **self.environment},
        )  # fmt: skip


@pytest.fixture
def terminals(tmp_path: Path, home: Path) -> Iterator[Home]:
    opens = Home(tmp_path, home)
    yield opens
    if (home / "runs").exists():
        opens.shell("stop", opens.run().name)
    for terminal in opens.opened:
        terminal.close()


@needs_tmux
def test_a_run_is_left_attached_to_again_and_stopped_from_another_shell(terminals: Home, preset: Path) -> None:
    first = terminals.open("run", str(preset), "--set", "run.steps=50000")
    first.wait(r"step [1-9]\d*/50,000", 90)
    name = terminals.run().name
    first.press("q")
    first.wait("Leave it running", 30)
    first.press("l")
    screen = first.wait("left with 0", 30)
    assert f"{name} goes on: zotui attach {name}, zotui stop {name}" in screen
    left_at = terminals.steps_done()
    second = terminals.open("attach", name)
    screen = second.wait(r"● running .* step [1-9][\d,]*/50,000", 60)
    assert step_on(screen) >= left_at and "attached" in screen.splitlines()[0]
    assert re.search(r"eval +step 0 +accuracy", screen)  # what was before it came
    second.press("Space")
    held = step_on(second.wait("● paused", 30))
    refused = terminals.shell("resume", name)
    assert (refused.returncode, refused.stderr) == (
        2,
        f"zotui: {name}: is live; `zotui attach {name}` steers it where it is\n",
    )
    stopped = terminals.shell("stop", name)
    assert stopped.returncode == 0, stopped.stderr
    assert f"{name}: stopped after {held:,} of 50,000 steps; `zotui resume {name}` goes on with it" in stopped.stderr
    second.wait(r"● stopped", 30)
    second.press("q")
    second.wait("left with 130", 30)
    assert terminals.steps_done() == held
    assert (terminals.run() / f"checkpoints/step-{held:08d}/weights.safetensors").is_file()


@needs_tmux
@pytest.mark.parametrize("end", ["KILL", "HUP"])
def test_the_engine_outlives_an_app_that_is_killed_or_whose_terminal_is_closed(
    terminals: Home, preset: Path, end: str
) -> None:
    first = terminals.open("run", str(preset), "--set", "run.steps=50000")
    first.wait(r"step [1-9]\d*/50,000", 90)
    app = first.process
    if end == "KILL":
        app.kill()
    else:
        first.close()
    psutil.wait_procs([app], 30)
    assert not app.is_running() or app.status() == psutil.STATUS_ZOMBIE
    gone_at = terminals.steps_done()
    second = terminals.open("attach", terminals.run().name)
    second.wait("attached", 60)
    second.wait(rf"step (?!{gone_at:,}/)[1-9][\d,]*/50,000", 30)
    screen = second.wait(r"● running", 30)
    assert step_on(screen) > gone_at
    second.press("s")
    second.wait(r"● stopped", 30)
    second.press("q")
    second.wait("left with 130", 30)
    assert [json.loads(line)["step"] for line in (terminals.run() / "journal.jsonl").open()] == list(
        range(terminals.steps_done())
    )
