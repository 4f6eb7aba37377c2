"""Pictures of the app on real runs, for the README: made by the end-to-end tests, and looked at by whoever changes it.

They go into a folder of the test; with `ZOTUI_PICTURES=.github` they are those that the README shows.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from engine.runs.directory import RunDir
from zotui.app.app import ZotuiApp
from zotui.app.state.feed import EngineFeed
from zotui.engines.attached import AttachedEngine

_SIZE = (120, 40)
_PATIENCE = 240.0  # seconds
_WATCHED = 250


class Gallery:
    """Where the pictures go."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(os.environ.get("ZOTUI_PICTURES") or folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._taken: set[str] = set()

    def take(self, app: ZotuiApp, name: str) -> None:
        """Save what is on the screen."""
        (self._folder / f"{name}.svg").write_text(app.export_screenshot(title="zotui"))
        self._taken.add(name)

    def names(self) -> list[str]:
        """What was taken."""
        return sorted(self._taken)


async def shows(pilot: Pilot[int], *texts: str) -> None:
    """Let the app run until all `texts` are on the screen, and drawn."""

    def screen() -> str:
        return "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())

    await until(lambda: all(text in screen() for text in texts), lambda: f"{texts} never came:\n{screen()}")
    await asyncio.sleep(1.2)  # charts are drawn once a second


async def until(condition: Callable[[], object], what: Callable[[], str]) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < end, what()
        await asyncio.sleep(0.05)


async def cockpit_of(run: RunDir, gallery: Gallery) -> None:
    """A paused run goes on for a while, watched by one who attached to it; then what its model says, and on again."""
    app = ZotuiApp(EngineFeed(await asyncio.to_thread(AttachedEngine, run)))
    async with app.run_test(size=_SIZE) as pilot:
        await shows(pilot, "● paused", "held-out accuracy")
        await pilot.press("space")
        await shows(pilot, "● running", "steps/s")
        cockpit = app.cockpit
        assert cockpit is not None
        await until(lambda: cockpit.run.done >= _WATCHED, lambda: f"step {_WATCHED} never came")
        cockpit.redraw()  # all of one moment: charts and figures have a pace of their own
        await pilot.pause()
        gallery.take(app, "cockpit")
        await pilot.press("space")
        await shows(pilot, "● paused")
        await pilot.press("p", "ctrl+e")
        await shows(pilot, "base model", "right")
        await pilot.press("ctrl+e")
        await until(lambda: len(app.screen.query(".answer")) == 2, lambda: "no second answer came")
        await shows(pilot, "right")
        gallery.take(app, "try-it")
        await pilot.press("escape", "space")
        await until(lambda: pilot.app.screen.run.state == "running", lambda: "the run does not go on")


async def runs_of(gallery: Gallery) -> None:
    """The start screen over the runs there are, and what the demo would take once more."""
    app = ZotuiApp()
    async with app.run_test(size=_SIZE) as pilot:
        await shows(pilot, "finished", "fits")
        gallery.take(app, "start")
        await pilot.press("enter")
        await shows(pilot, "preflight: demo", "ready: about")


async def comparison_of(gallery: Gallery) -> None:
    """All runs there are, side by side."""
    app = ZotuiApp()
    async with app.run_test(size=_SIZE) as pilot:
        await shows(pilot, "stopped")
        await pilot.press("tab", "space", "space", "x")
        await shows(pilot, "settings that differ", "method.lr")
        gallery.take(app, "compare")
