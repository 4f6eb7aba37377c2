"""Waiting for what the app shows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from weakref import WeakKeyDictionary

from textual.app import App
from textual.pilot import Pilot

from engine.preset.load import load
from engine.runs.directory import RunDir
from engine.runs.journal import encode_line
from zotui.app.app import ZotuiApp
from zotui.app.cockpit.panes.status import StatusLine
from zotui.app.cockpit.screen import Cockpit
from zotui.engines.launched import EngineProcess

Launch = Callable[..., EngineProcess]
"""Starts a scripted engine on a new run; takes the keys of its script, and `preset` for those of its preset's run."""

PRESET = """
description = "{description}"
[model]
path = "{model}"
[task]
name = "sst2"
[run]
steps = {steps}
"""

DRAWN: WeakKeyDictionary[App[int], int] = WeakKeyDictionary()
"""How often each app has drawn something; counted by a fixture that every test of the app uses."""

PATIENCE = 240.0  # seconds; only a failing test waits that long


async def until(pilot: Pilot[int], condition: Callable[[], object], what: str = "") -> None:
    """Let the app run until `condition`, or fail with what is on the screen."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"never came: {what}\n{screen_text(pilot.app)}")
        await asyncio.sleep(0.02)  # not pilot.pause: a streaming app is never idle


async def until_shown(pilot: Pilot[int], *texts: str) -> None:
    """Let the app run until all `texts` are on the screen."""
    glance = Glance(pilot.app)

    def shown() -> bool:
        screen = glance.text()
        return all(text in screen for text in texts)

    await until(pilot, shown, f"{texts} on the screen")


class Glance:
    """What is on an app's screen, as text, looked at no more often than it may have changed: drawing takes long."""

    _SURE = 0.5  # seconds until it is looked at whether or not something was drawn: not all that changes is

    def __init__(self, app: App[int]) -> None:
        self._app = app
        self._text = ""
        self._next, self._drawn = 0.0, -1

    def text(self) -> str:
        """The screen as it is now."""
        drawn, now = DRAWN.get(self._app, 0), time.monotonic()
        if drawn != self._drawn or now >= self._next:
            self._text = screen_text(self._app)
            self._drawn, self._next = drawn, now + self._SURE
        return self._text


def screen_text(app: App[int]) -> str:
    """What is on the screen, as text."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def cockpit(pilot: Pilot[int]) -> Cockpit:
    """The open cockpit."""
    assert isinstance(pilot.app, ZotuiApp)
    found = pilot.app.cockpit
    assert found is not None
    return found


def status(pilot: Pilot[int]) -> str:
    """The status line."""
    return str(cockpit(pilot).query_one(StatusLine).render())


def heard(run: Path) -> list[str]:
    """The commands that reached the scripted engine."""
    file = run / "heard.txt"
    return file.read_text().split() if file.exists() else []


def preset_text(description: str = "Reviews", model: str = "builtin:demo", steps: int = 200) -> str:
    """A small valid preset."""
    return PRESET.format(description=description, model=model, steps=steps)


def past_run(
    name: str, standing: str, done: int, accuracy: float | None = None, ago: float = 600, *, steps: int = 200,
    path: Path | None = None, now: float | None = None,
) -> RunDir:  # fmt: skip
    """A run of `steps` steps as an engine leaves it behind; it began `ago` seconds before `now`."""
    run = RunDir.create(load("demo", preset_text(steps=steps)), name, path)
    run.info.update(state=standing, started=(time.time() if now is None else now) - ago, steps=steps)
    lines = ({"step": n, "loss_plus": 0.6, "loss_minus": 0.5, "projected_grad": 1.0} for n in range(done))
    run.journal_file.write_bytes(b"".join(map(encode_line, lines)))
    if accuracy is not None:
        for step, value in ((0, 0.602), (done, accuracy)):
            metrics = {"loss": 0.6, "accuracy": value}
            run.add_evaluation(
                {"step": step, "split": "validation", "metrics": metrics, "examples": 872, "seconds": 1.0}
            )
    return run
