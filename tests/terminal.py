"""A real terminal for the end-to-end tests: tmux panes that run zotui."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests import forked, starting

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux: apt-get install tmux")

PATIENCE = 240.0  # seconds; only a failing test waits that long
_AT_REST = 3  # looks in a row at which a cursor is where it was


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

    def type(self, text: str) -> None:
        """As it is, without names of keys."""
        self.press("-l", text)

    def click(self, column: int, row: int) -> None:
        """The left button of the mouse at a cell, counted from 0, as terminals report it (SGR 1006)."""
        for end in "Mm":
            self.type(f"\x1b[<0;{column + 1};{row + 1}{end}")

    def wheel_up(self, column: int, row: int) -> None:
        """A notch of the wheel, away from the hand."""
        self.type(f"\x1b[<64;{column + 1};{row + 1}M")

    def find(self, text: str) -> tuple[int, int]:
        """The column and row at which a text stands on the screen."""
        return next((line.index(text), row) for row, line in enumerate(self.screen().splitlines()) if text in line)

    def resting_cursor(self) -> tuple[int, int]:
        """The column and row of the cursor, once nothing moves it: what is painted does, and so does what is typed."""
        seen: list[str] = []
        ask, deadline = ["display-message", "-p", "#{cursor_x} #{cursor_y}"], time.monotonic() + PATIENCE
        while len(seen) < _AT_REST or len(set(seen[-_AT_REST:])) > 1:
            assert time.monotonic() < deadline, f"the cursor does not rest: {seen[-_AT_REST:]}"
            time.sleep(0.1)  # a terminal has no event to wait for
            done = subprocess.run([*self._tmux, *ask], capture_output=True, text=True, check=True)
            seen.append(done.stdout)
        column, row = map(int, seen[-1].split())
        return column, row

    def wait(self, pattern: str, *, gone: bool = False) -> str:
        """The screen, as soon as it shows `pattern`, or no longer does; the rest of it may not be painted yet."""
        deadline = time.monotonic() + PATIENCE
        while bool(re.search(pattern, screen := self.screen())) == gone:
            assert time.monotonic() < deadline, f"{gone=}: {pattern!r} never came on this screen:\n{screen}"
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


def step_on(screen: str) -> int:
    found = re.search(r"step ([\d,]+)/", screen)
    assert found, screen
    return int(found[1].replace(",", ""))


class Home:
    """Opens zotui in terminals on one home, and closes what was opened. The app is started, its engines are forked."""

    def __init__(self, tmp_path: Path, home: Path) -> None:
        self._sockets = (tmp_path / f"tmux{number}" for number in range(100))
        self.environment = {"ZOTUI_HOME": str(home), "LANG": "C.UTF-8"}
        self.opened: list[Terminal] = []
        self.home = home

    def open(self, *arguments: str) -> Terminal:
        driver = f"import sys; sys.executable = {forked.stand_in()!r}; from zotui.cli import main; main()"
        command = shlex.join([sys.executable, "-P", "-c", driver, *arguments])
        self.opened.append(Terminal(next(self._sockets), command, self.environment))
        return self.opened[-1]

    def run(self) -> Path:
        """The only run, or the first."""
        return min((self.home / "runs").iterdir(), key=lambda folder: folder.stat().st_ctime)

    def close(self) -> None:
        """Stop what is still live, and close what was opened."""
        if (self.home / "runs").exists():
            for run in (self.home / "runs").iterdir():
                self.shell("stop", run.name)
        for terminal in self.opened:
            terminal.close()

    def steps_done(self) -> int:
        return len((self.run() / "journal.jsonl").read_bytes().splitlines())

    def shell(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return starting.run(["-m", "zotui", *arguments], env={**os.environ, **self.environment}, timeout=240)
