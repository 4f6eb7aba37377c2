"""The palette acts, and the cockpit tells those who do not look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.zotui.app.app_helpers import Launch, cockpit, preset_text, screen_text, status, until, until_shown
from zotui.app.app import ZotuiApp
from zotui.app.line_filters import wants_ascii
from zotui.app.state.feed import EngineFeed, RecordsFeed
from zotui.home import config


async def choose(pilot: Pilot[int], name: str) -> None:
    """Search the palette and take the first."""
    await pilot.press("ctrl+p")
    await until_shown(pilot, "  (")
    await pilot.press(*(char if char != " " else "space" for char in name))
    await until_shown(pilot, name)
    await pilot.press("enter")


async def test_an_action_is_taken(launch: Launch) -> None:
    app = ZotuiApp(EngineFeed(launch(steps=1_000_000)))
    async with app.run_test(size=(120, 50)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.done > 5)
        await choose(pilot, "pause")
        await until(pilot, lambda: status(pilot).startswith("● paused "))
        await pilot.press("ctrl+p")
        await until_shown(pilot, "resume  (space)")
        assert "pause  (space)" not in screen_text(app)  # what cannot be done now is not offered


async def test_a_preset_is_started(write_preset: Callable[[str, str], Path], script: Callable[..., None]) -> None:
    write_preset("demo", preset_text(steps=20))
    script(steps=20)
    app = ZotuiApp()
    async with app.run_test(size=(120, 50)) as pilot:
        await until_shown(pilot, "Reviews")
        await choose(pilot, "run demo")
        await until_shown(pilot, "● finished")


async def test_a_theme_is_chosen_and_remembered_and_a_picture_saved(home: Path) -> None:
    app = ZotuiApp()
    async with app.run_test(size=(120, 50), notifications=True) as pilot:
        await until_shown(pilot, "presets")
        await choose(pilot, "theme colour-blind-light")
        await until(pilot, lambda: app.theme == "colour-blind-light")
        assert config.read().ui.theme == "colour-blind-light"
        await choose(pilot, "save a picture")
        await until(pilot, lambda: list(home.glob("pictures/*.svg")))


class Listening(ZotuiApp):
    """Counts the bells."""

    rung = 0

    def bell(self) -> None:
        self.rung += 1


async def test_the_bell_rings_at_the_end(launch: Launch) -> None:
    app = Listening(EngineFeed(launch(steps=20)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "● finished")
        await until(pilot, lambda: app.rung == 1)


async def test_a_failure_rings_and_a_look_at_it_later_does_not(launch: Launch) -> None:
    engine = launch(steps=200, die_at=20)
    app = Listening(EngineFeed(engine))
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "● died")
        await until(pilot, lambda: app.rung == 1)
    later = Listening(RecordsFeed(engine.run))
    async with later.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: cockpit(pilot).run.outcome is not None)
        await pilot.pause()
    assert (app.rung, later.rung) == (1, 0)


@pytest.mark.parametrize(
    ("chosen", "environment", "expected"),
    [
        ("auto", {"TERM": "xterm", "LANG": "en_US.UTF-8"}, False),
        ("auto", {"TERM": "xterm"}, False),
        ("auto", {"TERM": "linux", "LANG": "en_US.UTF-8"}, True),
        ("auto", {"TERM": "vt100"}, True),
        ("auto", {"TERM": "xterm", "LANG": "de_DE.utf8"}, False),
        ("auto", {"TERM": "xterm", "LANG": "de_DE.ISO-8859-1"}, True),
        ("auto", {"TERM": "xterm", "LANG": "en_US.UTF-8", "LC_ALL": "C"}, True),
        (True, {"TERM": "xterm"}, True),
        (False, {"TERM": "linux"}, False),
        (False, {"TERM": "xterm", "ZOTUI_ASCII": "1"}, True),
        (True, {"ZOTUI_ASCII": "0"}, False),
    ],
)
def test_when_it_is_ascii(chosen: str | bool, environment: dict[str, str], expected: bool) -> None:
    assert wants_ascii(config.Ui.model_validate({"ascii": chosen}), environment) is expected
